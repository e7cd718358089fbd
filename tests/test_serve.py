"""toolkit serve: photos over HTTP come back as predict makes them, in order, in company, and within limits."""

import io
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from cli_runs import ran, refused
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from serving import Client, Grey, flower, photo, serving, until

from segmentation.predict.kinds import KINDS, OBJECTS
from segmentation.predict.segmenter import Segmenter

PHOTOS = [flower(96, 64, 0), flower(96, 64, 60), flower(70, 90, 30), flower(96, 64, 120)]
ALL = ("--write", ",".join(kind for kind in KINDS if kind != OBJECTS))
TOKEN = "0123456789abcdef"


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter.load("flowers64")


@pytest.fixture(scope="module")
def client(segmenter):
    with serving(segmenter) as found:
        yield found


@pytest.fixture(scope="module")
def predicted(segmenter, tmp_path_factory):
    """What predict writes of PHOTOS[0], by file."""
    folder = tmp_path_factory.mktemp("predicted")
    segmenter.save(folder / "s.safetensors")
    (folder / "p.png").write_bytes(PHOTOS[0])
    flags = ("--segmenter", folder / "s.safetensors", "--precision", "fp32")
    ran("predict", folder / "p.png", *flags, *ALL, "--background", "navy", "--out", folder / "out")
    ran("predict", folder / "p.png", *flags, *ALL, "--threshold", "0.3", "--refine", "--out", folder / "other")
    things = ("--write", "objects")  # apart: overlays are others where they are asked for
    ran("predict", folder / "p.png", *flags, *things, "--out", folder / "things")
    ran(
        "predict", folder / "p.png", *flags, *things, "--threshold", "0.3", "--refine", "--out", folder / "other-things"
    )
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_those_of_predict_to_the_byte(client, predicted, kind):
    query = "?background=navy" if kind == "composite" else ""
    answer = client.post(f"/{kind}{query}", PHOTOS[0])
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    own, other_own = ("things", "other-things") if kind == OBJECTS else ("out", "other")
    assert answer.body == (predicted / own / f"p_{kind}.png").read_bytes()
    other = client.post(f"/{kind}?threshold=0.3&refine=true", PHOTOS[0])
    assert other.body == (predicted / other_own / f"p_{kind}.png").read_bytes()


def test_figures_are_those_of_predict(client, predicted):
    header, row = (predicted / "out" / "result.csv").read_text().splitlines()
    cells = dict(zip(header.split(","), row.split(","), strict=True))
    found = client.result(PHOTOS[0])
    assert (found["width"], found["height"], found["note"]) == (96, 64, "")
    assert 0.1 < found["area"] < 0.9
    for name in ("area", "confidence"):
        assert f"{found[name]:.6f}" == cells[name]
    assert [str(corner) for corner in found["box"]] == [cells[name] for name in ("x0", "y0", "x1", "y1")]
    assert f"{found['familiarity']:.6f}" == cells["familiarity"]
    assert (cells["unlike"], found["warning"][:29]) == ("yes", "this photo looks unlike those")
    assert json.loads(client.post("/mask", PHOTOS[0]).headers["toolkit-result"]) == found


FORM = b'--edge\r\nContent-Disposition: form-data; name="photo"; filename="x.png"\r\n\r\n%s\r\n--edge--\r\n'


def test_a_form_a_body_of_any_name_and_one_in_chunks_hold_the_same_photo(client):
    expected = client.post("/soft", PHOTOS[0]).body
    form = client.post("/soft", FORM % PHOTOS[0], Content_Type="multipart/form-data; boundary=edge")
    named = client.post("/soft", PHOTOS[0], Content_Type="image/png")
    pieces = [PHOTOS[0][:100], PHOTOS[0][100:]]
    chunked = client.ask("POST", "/soft", iter(pieces))
    assert expected == form.body == named.body == chunked.body


def test_photos_in_company_are_what_they_are_alone(segmenter):
    with serving(segmenter) as client, ThreadPoolExecutor(8) as pool:
        alone = [client.post("/soft", content).body for content in PHOTOS]
        together = list(pool.map(partial(client.post, "/soft"), PHOTOS * 3))
    for place, answer in enumerate(together):
        found, expected = (
            np.asarray(Image.open(io.BytesIO(body)), int) for body in (answer.body, alone[place % len(PHOTOS)])
        )
        assert np.abs(found - expected).max() <= 1  # a sum in another order may round to the next level


def test_one_at_a_time_photos_are_the_same_to_the_byte(segmenter):
    with serving(segmenter, together=1) as client, ThreadPoolExecutor(8) as pool:
        alone = [client.post("/soft", content).body for content in PHOTOS]
        assert [answer.body for answer in pool.map(partial(client.post, "/soft"), PHOTOS * 3)] == alone * 3


# ---------------------------------------------------------------- who waits, and for what


def asked_at_once(client: Client, pool: ThreadPoolExecutor, levels: list[int]) -> list:
    """Post photos of these levels, each after the one before it waits; return the futures."""
    futures = []
    for level in levels:
        before = client.server.pipeline.held
        futures.append(pool.submit(client.post, "/result", photo(level=level)))
        until(lambda before=before: client.server.pipeline.held > before)
    return futures


def test_what_waits_goes_together_in_order_of_arrival():
    grey = Grey()
    with serving(grey, together=3) as client, ThreadPoolExecutor(8) as pool:
        futures = asked_at_once(client, pool, [Grey.SLOW])
        grey.busy.wait()
        futures += asked_at_once(client, pool, [20, 30, 40, 200])
        grey.go.set()
        areas = [json.loads(future.result().body)["area"] for future in futures]
    assert areas == [0, 0, 0, 0, 1]
    assert grey.batches == [[0], [Grey.SLOW], [20, 30, 40], [200]]  # the first is the server's own


def test_one_that_fails_fails_alone():
    grey = Grey()
    with serving(grey) as client, ThreadPoolExecutor(8) as pool:
        asked_at_once(client, pool, [Grey.SLOW])
        grey.busy.wait()
        futures = asked_at_once(client, pool, [20, Grey.BROKEN, 200])
        grey.go.set()
        answers = [future.result() for future in futures]
    assert [answer.status for answer in answers] == [200, 500, 200]
    assert answers[1].line == "the server failed; its terminal says why"


def test_those_for_whom_there_is_no_room_are_told_when_to_come_again():
    grey = Grey()
    with serving(grey, queue=2) as client, ThreadPoolExecutor(8) as pool:
        futures = asked_at_once(client, pool, [Grey.SLOW, 20])
        answer = client.post("/mask", photo())
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert answer.line == "as many photos wait as may; ask again in 1 s"
        grey.go.set()
        assert [future.result().status for future in futures] == [200, 200]
        assert client.post("/mask", photo()).status == 200


def test_a_photo_that_takes_too_long_is_given_up_and_health_says_so():
    grey = Grey()
    with serving(grey, work_seconds=0.2) as client:
        answer = client.post("/mask", photo(level=Grey.SLOW))
        assert (answer.status, answer.line) == (503, "the photo was not done in 0.2 s")
        assert int(answer.headers["retry-after"]) >= 1
        until(lambda: client.server.pipeline.stuck)
        assert json.loads(client.ask("GET", "/health").body)["status"] == "stuck"
        assert client.ask("GET", "/health").status == 503
        grey.go.set()
        until(lambda: not client.server.pipeline.stuck)
        assert client.ask("GET", "/health").status == 200
        assert client.post("/mask", photo()).status == 200


def test_nothing_is_computed_for_who_has_gone():
    grey = Grey()
    with serving(grey) as client, ThreadPoolExecutor(2) as pool:
        (slow,) = asked_at_once(client, pool, [Grey.SLOW])
        grey.busy.wait()
        with pytest.raises(TimeoutError):
            client.ask("POST", "/mask", photo(level=99), timeout=0.3)
        until(lambda: client.server.pipeline.held == 1)
        grey.go.set()
        assert slow.result().status == 200
    assert [99] not in grey.batches


def test_a_server_that_ends_answers_what_it_holds():
    grey = Grey()
    with serving(grey) as client, ThreadPoolExecutor(8) as pool:
        futures = asked_at_once(client, pool, [Grey.SLOW, 20, 200])
        client.server.should_exit = True
        with pytest.raises(ConnectionRefusedError):
            until(lambda: client.ask("GET", "/health").status == 0)
        grey.go.set()
        assert [future.result().status for future in futures] == [200, 200, 200]


def test_nothing_stays_held(segmenter):
    with serving(segmenter) as client, ThreadPoolExecutor(8) as pool:
        contents = [*PHOTOS, b"no photo", b"", photo()] * 3
        statuses = {answer.status for answer in pool.map(partial(client.post, "/overlay"), contents)}
        assert statuses == {200, 422}
        pipeline = client.server.pipeline
        until(lambda: not pipeline.held and not pipeline._pixels)
        assert not pipeline._waiting
        assert not pipeline._decoded
        assert "toolkit_body_bytes 0.0" in client.ask("GET", "/metrics").body.decode()


# ---------------------------------------------------------------- pages, counts, who may ask


def test_counts_are_in_the_format_of_prometheus(segmenter):
    with serving(segmenter) as client:
        client.post("/mask", PHOTOS[0])
        client.post("/mask", b"x")
        client.ask("GET", "/a%22b%0a")
        answer = client.ask("GET", "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    read = list(text_string_to_metric_families(text := answer.body.decode()))  # as Prometheus' own library reads it
    samples = {(one.name, *one.labels.values()): one.value for family in read for one in family.samples}
    assert samples["toolkit_requests_total", "/mask", "422"] == samples["toolkit_photo_seconds_count",] == 1
    assert {family.type for family in read} == {"counter", "histogram", "gauge"}
    lines = text.splitlines()
    assert 'toolkit_requests_total{route="/mask",status="200"} 1' in lines
    assert 'toolkit_requests_total{route="/mask",status="422"} 1' in lines
    assert 'toolkit_requests_total{route="other",status="404"} 1' in lines
    assert "toolkit_photo_seconds_count 1" in lines
    assert 'toolkit_batch_photos_bucket{le="1.0"} 2' in lines


def test_the_page_and_its_description_are_all_there_is_to_load(client):
    described = json.loads(client.ask("GET", "/openapi.json").body)
    assert {*(f"/{kind}" for kind in KINDS), "/result", "/health", "/metrics"} == set(described["paths"])
    assert "multipart/form-data" in described["paths"]["/mask"]["post"]["requestBody"]["content"]
    for path in ("/", "/docs"):
        page = client.ask("GET", path).body.decode()
        assert "POST /cutout" in page
        assert not re.search(r"src=|//(?!127\.0\.0\.1:8000)", page)
    assert client.ask("GET", "/redoc").status == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "[::1]:80", ""])
def test_another_host_is_refused(client, host):
    assert client.ask("POST", "/mask", PHOTOS[0], Host=host).status == 403
    assert client.ask("GET", "/health", Host=host).status == 403


@pytest.mark.parametrize("origin", ["null", "http://evil.example", "https://127.0.0.1"])
def test_another_origin_is_refused(client, origin):
    assert client.ask("POST", "/mask", PHOTOS[0], Origin=origin).status == 403


def test_its_own_origin_and_localhost_are_this_machine_too(client):
    own = f"localhost:{client.port}"
    assert client.ask("POST", "/mask", PHOTOS[0], Host=own, Origin=f"http://{own}").status == 200


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer 0123456789abcdeF", f"Basic {TOKEN}", f"Bearer {TOKEN}x", TOKEN]
)
def test_who_has_not_the_token_is_refused(segmenter, given):
    with serving(segmenter, TOKEN) as client:
        for method, path in (("POST", "/mask"), ("GET", "/metrics"), ("GET", "/docs"), ("GET", "/nothing")):
            answer = client.ask(method, path, Authorization=given)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert TOKEN not in answer.line
        assert client.ask("GET", "/health").status == 200


def test_who_has_the_token_may_ask_from_anywhere(segmenter):
    with serving(segmenter, TOKEN) as client:
        for scheme in ("Bearer", "bearer"):
            answer = client.post("/mask", PHOTOS[0], Authorization=f"{scheme} {TOKEN}", Host="masks.example")
            assert answer.status == 200


# ---------------------------------------------------------------- the command


def test_any_other_address_needs_a_token(tmp_path, monkeypatch):
    monkeypatch.delenv("TOOLKIT_TOKEN", raising=False)
    for address in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        assert "--token-file" in refused("serve", "--address", address)
    (tmp_path / "token").write_text("short\n")
    assert "16 or more" in refused("serve", "--token-file", tmp_path / "token")
    assert "no token at" in refused("serve", "--token-file", tmp_path / "nowhere")
    monkeypatch.setenv("TOOLKIT_TOKEN", "with a space in it, and long")
    assert "TOOLKIT_TOKEN" in refused("serve")


def test_an_address_or_port_that_cannot_be_had_is_told(tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    flags = ("--token-file", tmp_path / "token", "--address", "192.0.2.1")
    assert "cannot listen at 192.0.2.1" in refused("serve", *flags)


@pytest.mark.parametrize(
    "flags", [("--queue", 0), ("--work-seconds", 0), ("--most-megapixels", 1000), ("--device", "tpu")]
)
def test_limits_are_checked(flags):
    assert flags[0] in refused("serve", *flags)


def test_the_token_of_the_file_is_asked_for(tmp_path, monkeypatch):
    (tmp_path / "token").write_text(TOKEN + "\n")
    seen: list = []

    def run(server, sockets):
        thread = threading.Thread(target=super(type(server), server).run, kwargs={"sockets": sockets})
        thread.start()
        until(lambda: server.started)
        client = Client(sockets[0].getsockname()[1], server)
        seen.extend(client.ask("GET", "/metrics", **each).status for each in ({}, {"Authorization": f"Bearer {TOKEN}"}))
        server.should_exit = True
        thread.join()

    monkeypatch.setattr("cli.serve.server.PhotoServer.run", run)
    output = ran("serve", "--token-file", tmp_path / "token", "--port", 0, "--device", "cpu")
    assert "flowers64 at http://127.0.0.1:" in output
    assert seen == [401, 200]
