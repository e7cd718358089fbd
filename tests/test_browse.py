"""What the page of `toolkit browse` may ask its server for, over HTTP."""

import base64
import dataclasses
import http.client
import io
import json
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import Future
from dataclasses import replace
from urllib.parse import urlencode

import numpy as np
import pytest
import torch
from cli_runs import ran, refused
from PIL import Image

from cli.browse.app import LARGEST_BODY, Page
from cli.browse.photos import EncodedPhotos
from cli.browse.pictures import FRAMES_A_SIDE, Pictures
from cli.browse.server import BrowseServer
from cli.browse.set import BrowsedSet
from cli.browse.worker import NewestFirst, Recent
from cli.web.sockets import ADDRESS, bound_socket
from generators.encoder.network import Encoder, EncoderNetwork, EncoderShape
from generators.scene import FACTORS, SceneGenerator
from segmentation.predict.segmenter import Segmenter
from segmentation.unet.network import UNet
from toolkit.compute.engine import choose_engine
from toolkit.directions import Choice, DirectionSet

IMAGES = 5  # side by side by default
WITHIN = (57, 265)  # row and column of a pixel of the second image's object
DARKER = 2  # the direction that darkens the ground and lightens the object


class Browser:
    """Asks as the page does: with Host and, where something changes, with Origin."""

    def __init__(self, port: int) -> None:
        self.origin = f"http://{ADDRESS}:{port}"
        self.port = port

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        kept = {name.replace("_", "-"): value for name, value in {"Origin": self.origin, **headers}.items() if value}
        request = urllib.request.Request(self.origin + path, body, kept)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(), dict(error.headers)

    def get(self, path: str, **query: object) -> bytes:
        status, body, _ = self.ask(f"{path}?{urlencode(query, doseq=True)}")
        assert status == 200, body
        return body

    def picture(self, path: str, **query: object) -> np.ndarray:
        return pixels(self.get(path, **{"seed": 0, "tab": "a", **query}))

    def post(self, path: str, **values: object) -> dict:
        status, body, _ = self.ask(path, json.dumps(values).encode(), Content_Type="application/json")
        assert status == 200, body
        return json.loads(body)

    def upload(self, content: bytes, name: str = "x.png", to: str = "/api/segment?tab=a") -> tuple[int, dict]:
        head = f'--edge\r\nContent-Disposition: form-data; name="photo"; filename="{name}"\r\n\r\n'.encode()
        kind = "multipart/form-data; boundary=edge"
        status, body, _ = self.ask(to, head + content + b"\r\n--edge--\r\n", Content_Type=kind)
        return status, json.loads(body)

    def refused(self, path: str, status: int = 400, **values: object) -> str:
        """Return the one line that a request is refused with: a change where `values` are given."""
        body = json.dumps(values).encode() if values else None
        code, answer, _ = self.ask(path, body, Content_Type="application/json")
        assert code == status, answer
        line = json.loads(answer)["error"]
        assert line
        assert "\n" not in line
        return line


def pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def all_dimmed(before: np.ndarray, outlined: np.ndarray) -> bool:
    """Return whether no pixel is foreground in what is drawn of a mask over the images before a shift."""
    return bool(np.abs(0.4 * before - outlined).mean() < 3)


def scene_set() -> DirectionSet:
    scene = SceneGenerator(image_size=32)
    chosen = ("size", "object_colour")
    vectors = torch.stack([*(scene.direction(name) for name in chosen), scene.contrast_direction()])
    scores = {"score": [0.1, 0.2, 0.3], "sign": [1.0, -1.0, 1.0], "alpha": [2.0, 3.0, 4.0]}
    return DirectionSet(vectors, "scene", "by hand", scores=scores, card={"source": {"generator": "scene"}})


def small_encoder() -> Encoder:
    torch.manual_seed(0)
    shape = EncoderShape(latent_dim=SceneGenerator().latent_dim, image_size=32, width=4)
    return Encoder(EncoderNetwork(shape), {"generator": "scene"})


def on_page(page):
    """Serve a page until the generator that this is goes on."""
    serves = BrowseServer(page)
    with bound_socket(0) as bound:
        thread = threading.Thread(target=serves.run, kwargs={"sockets": [bound]})
        thread.start()
        while not serves.started:
            time.sleep(0.01)
        yield Browser(bound.getsockname()[1])
        serves.should_exit = True
        thread.join()


def serving(shown: BrowsedSet, segmenter: Segmenter | None, encoder: Encoder | None = None):
    """Serve a set until the generator that this is goes on."""
    generator = SceneGenerator(image_size=32)
    assert generator.latent_dim > len(FACTORS)
    pictures = Pictures(generator, choose_engine("cpu", "fp32"))
    embedder = None if encoder is None else EncodedPhotos(encoder, generator, torch.device("cpu"))
    yield from on_page(Page(shown, pictures, segmenter, "tiny", embedder, "no encoder comes with scene"))


@pytest.fixture
def run(tmp_path):
    scene_set().save(tmp_path / "run" / "directions.safetensors")
    return tmp_path / "run"


@pytest.fixture
def browser(run):
    yield from serving(BrowsedSet.open(run), Segmenter(UNet(width=4), 32), small_encoder())


@pytest.fixture
def shipped_browser(tmp_path):
    """A set without a file of its own, as a shipped one is to the page, no segmenter and no encoder."""
    yield from serving(BrowsedSet(tmp_path / "shipped", scene_set(), None, tmp_path / "copy"), None)


# ---------------------------------------------------------------- what is shown


def test_the_page_and_its_parts_are_served(browser):
    assert b'<script src="browse.js"' in browser.get("/")
    for name in ("browse.js", "edit.js", "list.js", "page.js", "photos.js", "browse.css", "icon.svg"):
        assert browser.get(f"/{name}")
    _, _, headers = browser.ask("/edit.js")
    assert headers["content-type"].startswith("text/javascript")


def test_the_set_is_described(browser):
    found = json.loads(browser.get("/api/set"))
    assert found["columns"] == ["score", "sign", "alpha"]  # the column of another length is left out
    shown = {"index": 1, "name": "direction_1", "start": -3.0, "sigma": None, "scores": [0.2, -1.0, 3.0]}
    assert found["directions"][1] == {**shown, "layers": "all"}
    assert (found["longest"], found["segmenter"], found["choice"]) == (12.0, "tiny", None)
    assert found["rules"] == ["lighting", "mean_thr", "light-dark"]


def test_where_deviations_are_recorded_the_page_starts_at_two_of_them(tmp_path):
    scores = {"sigma": [0.5, 9.0, 80.0], "centre": [0.0] * 3}
    DirectionSet(torch.eye(3, 16), "scene", "ganspace", scores=scores).save(tmp_path / "d.safetensors")
    found = BrowsedSet.open(tmp_path / "d.safetensors").described()
    assert [one["start"] for one in found["directions"]] == [1.0, 18.0, 6.0]  # 160 is longer than any slider
    assert [one["sigma"] for one in found["directions"]] == scores["sigma"]
    assert found["longest"] == 36


def test_a_strip_has_a_frame_a_step_and_reaches_as_far_as_asked(browser):
    near = browser.picture(f"/api/strip/{DARKER}", reach=1)
    far = browser.picture(f"/api/strip/{DARKER}", reach=6)
    count = 2 * FRAMES_A_SIDE + 1
    assert near.shape == far.shape == (32, 32 * count, 3)
    near_corner, far_corner = (strip[:8, -8:].mean() for strip in (near, far))
    assert far_corner < near_corner - 30  # the ground darkens along the way
    middle = slice(32 * FRAMES_A_SIDE, 32 * (FRAMES_A_SIDE + 1))
    assert np.abs(near[:, middle].astype(int) - far[:, middle]).mean() < 5  # only WebP tells the unmoved ones apart


def test_the_seed_names_the_image(browser):
    first, again, other = (
        browser.get("/api/strip/0", reach=2, seed=s, tab=t) for s, t in ((0, "a"), (0, "b"), (1, "a"))
    )
    assert first == again != other


def test_before_after_and_mask(browser):
    bare = browser.picture("/api/shifted", direction=DARKER, alpha=4)
    masked = browser.picture("/api/shifted", direction=DARKER, alpha=4, rule="lighting")
    side = bare.shape[1] // IMAGES
    assert (bare.shape[0], masked.shape[0]) == (2 * side, 3 * side)
    before, after = bare[:side].astype(int), bare[side:].astype(int)
    assert after[:9, :9].mean() < before[:9, :9].mean() - 30
    mask, brightness = masked[-side:].astype(int), before.mean(axis=2)
    assert np.abs(mask[WITHIN] - before[WITHIN]).max() < 12  # the object keeps its colours
    assert mask[:9, :9].mean() < 0.6 * brightness[:9, :9].mean()  # the ground is dimmed
    assert (mask.min(axis=2) > 235).sum() > 50  # and the outline is white


def test_an_opposed_rule_compares_with_the_opposite_shift(browser):
    alpha_zero = browser.picture("/api/shifted", direction=DARKER, alpha=0, rule="light-dark")
    alpha_four = browser.picture("/api/shifted", direction=DARKER, alpha=4, rule="light-dark")
    side = alpha_four.shape[1] // IMAGES
    assert all_dimmed(alpha_zero[:side], alpha_zero[-side:])  # nothing is foreground
    assert np.abs(alpha_four[:side][WITHIN].astype(int) - alpha_four[-side:][WITHIN]).max() < 12


def test_the_chosen_opposite_is_what_an_opposed_rule_compares_with(browser, run):
    backwards = browser.get("/api/shifted", direction=DARKER, alpha=4, seed=0, tab="a", rule="light-dark")
    opposed = replace(scene_set(), choice=Choice(DARKER, 1, 4.0, opposite=DARKER))
    opposed.save(run / "directions.safetensors")
    browser.post("/api/choose", direction=DARKER, alpha=4, rule="light-dark")
    assert DirectionSet.load(run).choice == dataclasses.replace(opposed.choice, mask_rule="light-dark")
    same = browser.picture("/api/shifted", direction=DARKER, alpha=4, rule="light-dark")
    side = same.shape[1] // IMAGES
    assert all_dimmed(same[:side], same[-side:])  # nothing is brighter than itself
    assert np.abs(same.astype(int) - pixels(backwards)).mean() > 3


def test_directions_add_up(browser):
    alone = browser.picture("/api/shifted", direction=0, alpha=2)
    both = browser.picture("/api/shifted", direction=[0, DARKER], alpha=[2, 4])
    undone = browser.picture("/api/shifted", direction=[0, DARKER, 0, DARKER], alpha=[2, 4, -2, -4])
    side = alone.shape[1] // IMAGES
    assert both[side:, :9].mean() < alone[side:, :9].mean() - 20
    assert np.abs(undone[:side].astype(int) - undone[side:]).mean() < 3


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/api/strip/9?reach=2&seed=0&tab=a", "no direction '9'; there are 3"),
        ("/api/strip/x?reach=2&seed=0&tab=a", "index: input should be a valid integer"),
        ("/api/strip/-1?reach=2&seed=0&tab=a", "index: input should be greater"),
        ("/api/strip/0?reach=nan&seed=0&tab=a", "reach: input should be a finite number"),
        ("/api/strip/0?reach=1e9&seed=0&tab=a", "reach: input should be less"),
        ("/api/strip/0?reach=0&seed=0&tab=a", "reach: input should be greater than or equal to"),
        ("/api/strip/0?reach=1e-320&seed=0&tab=a", "reach: input should be greater than or equal to"),
        ("/api/strip/true?reach=2&seed=0&tab=a", "index: input should be a valid integer"),
        (f"/api/strip/{'9' * 5000}?reach=2&seed=0&tab=a", "index: "),
        ("/api/shifted?direction=0&alpha=1e-320&seed=0&tab=a", "has to be 0, or 1e-06 and more in length"),
        ("/api/strip/0?reach=2&seed=-1&tab=a", "seed: input should be greater"),
        ("/api/strip/0?reach=2&seed=0&tab=%3Cb%3E", "tab: string should match"),
        ("/api/shifted?direction=0&seed=0&tab=a", "alpha: field required"),
        ("/api/shifted?direction=0&alpha=-inf&seed=0&tab=a", "alpha: input should be a finite number"),
        ("/api/shifted?direction=0&alpha=1&direction=9&alpha=1&seed=0&tab=a", "no direction '9'"),
        ("/api/shifted?direction=0&alpha=1&direction=1&tab=a", "2 directions have 1 alphas; give each one its own"),
        ("/api/shifted?alpha=1&tab=a", "direction: field required"),
        ("/api/shifted?direction=true&alpha=1&tab=a", "direction: input should be a valid integer"),
        ("/api/shifted?" + "direction=0&alpha=1&" * 9 + "tab=a", "direction: list should have at most 8 items"),
        ("/api/shifted?direction=0&alpha=1&images=0&tab=a", "images: input should be greater than or equal to 1"),
        ("/api/shifted?direction=0&alpha=1&images=9&tab=a", "images: input should be less than or equal to 8"),
        (f"/api/shifted?direction=0&alpha=1&seed={2**31}&tab=a", "seed: input should be less than or equal to"),
        ("/api/shifted?direction=0&alpha=1&photo=../x&tab=a", "photo: string should match"),
        ("/api/strip/0?reach=2&photo=0123456789abcdef-0&tab=a", "the photo is not remembered any more; open it"),
        ("/api/save/mask?direction=0&alpha=1&tab=a", "the mask rule is ''; choose one of lighting"),
        ("/api/save/latents?direction=0&alpha=1&tab=a", "kind: input should be 'picture', 'mask' or 'animation'"),
        ("/api/shifted?direction=0&alpha=1&seed=0&tab=a&rule=best", "the mask rule is 'best'; choose one of lighting"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(browser, path, said):
    assert said in browser.refused(path)


def test_an_unknown_page_is_one_line_too(browser):
    assert browser.refused("/nothing", status=404) == "Not Found"
    for page in ("/docs", "/redoc", "/openapi.json"):
        browser.refused(page, status=404)


# ---------------------------------------------------------------- what is changed


def test_a_name_is_written_to_the_set_and_to_the_annotations(browser, run):
    answer = browser.post("/api/name", direction=1, name=" paler  petals ")
    assert answer["set"]["directions"][1]["name"] == "paler_petals"
    assert answer["message"].endswith("direction 1 is paler_petals")
    assert answer["next"].startswith(f"toolkit render-gif {run} --direction 1")
    assert DirectionSet.load(run).names[1] == "paler_petals"
    assert (run / "human_annotation.txt").read_text() == "1: paler_petals\n"
    assert BrowsedSet.open(run).directions.names[1] == "paler_petals"


@pytest.mark.parametrize("name", ["", "  ", "7", "direction_0", "x" * 81])
def test_names_that_cannot_be(browser, run, name):
    browser.refused("/api/name", direction=1, name=name)
    assert not (run / "human_annotation.txt").exists()


def test_a_name_taken_in_the_annotations_alone_is_refused(browser, run):
    (run / "human_annotation.txt").write_text("0: sky\n")
    assert "direction 0 is called 'sky' already" in browser.refused("/api/name", direction=1, name="sky")
    assert (run / "human_annotation.txt").read_text() == "0: sky\n"


def test_a_choice_is_written_with_sign_and_length(browser, run):
    answer = browser.post("/api/choose", direction=1, alpha=-2.5, rule="lighting")
    assert DirectionSet.load(run).choice == Choice(1, -1, 2.5, mask_rule="lighting")
    assert answer["message"].endswith("chose direction_1, -2.50")
    assert f"toolkit segment {run} --out segmenter" in answer["next"]  # the set holds the rule
    expected = {"index": 1, "sign": -1, "alpha": 2.5, "opposite": None, "mask_rule": "lighting", "max_area": None}
    assert answer["set"]["choice"] == expected


@pytest.mark.parametrize(
    "values",
    [{"alpha": 0}, {"alpha": 1e9}, {"alpha": "far"}, {"direction": 9}, {"rule": "best"}, {"alpha": float("nan")}],
    ids=str,
)
def test_choices_that_cannot_be(browser, run, values):
    before = (run / "directions.safetensors").read_bytes()
    browser.refused("/api/choose", **{"direction": 1, "alpha": 2.0, "rule": "lighting", **values})
    assert (run / "directions.safetensors").read_bytes() == before


def test_a_read_only_set_is_copied_first(shipped_browser, tmp_path):
    line = shipped_browser.refused("/api/name", direction=1, name="petals")
    assert f"copy it to {tmp_path / 'copy'} first" in line
    answer = shipped_browser.post("/api/copy")
    assert answer["next"] == f"toolkit browse {tmp_path / 'copy'}"
    shipped_browser.post("/api/name", direction=1, name="petals")
    assert DirectionSet.load(tmp_path / "copy").names[1] == "petals"
    assert "is yours already" in shipped_browser.refused("/api/copy", copy=1)


def test_a_copy_overwrites_no_set(shipped_browser, run, tmp_path):
    run.rename(tmp_path / "copy")
    before = (tmp_path / "copy" / "directions.safetensors").read_bytes()
    assert "holds a direction set already" in shipped_browser.refused("/api/copy", copy=1)
    assert (tmp_path / "copy" / "directions.safetensors").read_bytes() == before


# ---------------------------------------------------------------- photos


def test_a_photo_comes_back_with_its_mask(browser):
    buffer = io.BytesIO()
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(buffer, "PNG")
    status, answer = browser.upload(buffer.getvalue())
    assert status == 200
    for kind in ("photo", "mask", "soft"):
        source = answer[kind].removeprefix("data:image/webp;base64,")
        assert pixels(base64.b64decode(source)).shape == (40, 60, 3)
    assert 0 <= answer["share"] <= 1
    assert answer["unlike"] is None  # its segmenter remembers no photos


def test_a_large_photo_is_shown_smaller(browser):
    buffer = io.BytesIO()
    Image.new("RGB", (3000, 300), "red").save(buffer, "PNG")
    _, answer = browser.upload(buffer.getvalue())
    assert pixels(base64.b64decode(answer["photo"].partition(",")[2])).shape == (102, 1024, 3)


UPLOADS = ["/api/segment?tab=a", "/api/embed?tab=a&refine=2"]


@pytest.mark.parametrize("to", UPLOADS)
@pytest.mark.parametrize(
    "content", [b"no picture", b"", b"\x89PNG\r\n\x1a\n" + b"x" * 50], ids=["text", "empty", "torn"]
)
def test_what_is_no_photo_is_told_by_its_name(browser, content, to):
    status, answer = browser.upload(content, "notes.png", to)
    assert status == 400
    assert answer["error"].startswith("cannot read the photo notes.png (")
    assert "\n" not in answer["error"]


@pytest.mark.parametrize("to", UPLOADS)
def test_a_photo_of_too_many_pixels_is_refused_before_it_is_decoded(browser, to):
    buffer = io.BytesIO()
    Image.new("1", (9000, 9000)).save(buffer, "PNG")
    status, answer = browser.upload(buffer.getvalue(), "plan.png", to)
    assert (status, answer["error"]) == (400, "plan.png has 81 megapixels; choose a photo of at most 50")


def test_without_a_segmenter_a_line_says_so(shipped_browser):
    status, answer = shipped_browser.upload(b"x")
    assert status == 400
    assert "--segmenter" in answer["error"]


# ---------------------------------------------------------------- who may ask


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "[::1]:80", "127.0.0.1@evil.example"])
def test_another_host_is_refused(browser, host):
    status, body, _ = browser.ask("/api/set", Host=host)
    assert status == 403
    assert host in json.loads(body)["error"]


def test_localhost_is_this_machine_too(browser):
    assert browser.ask("/", Host=f"localhost:{browser.port}")[0] == 200


@pytest.mark.parametrize("origin", ["", "null", "http://evil.example", "https://127.0.0.1", f"http://{ADDRESS}:1"])
def test_changes_from_another_origin_are_refused(browser, run, origin):
    body = json.dumps({"direction": 1, "name": "x"}).encode()
    status, _, _ = browser.ask("/api/name", body, Origin=origin, Content_Type="application/json")
    assert status == 403
    assert DirectionSet.load(run).names[1] == "direction_1"


@pytest.mark.parametrize("to", UPLOADS)
@pytest.mark.parametrize(("length", "status"), [(LARGEST_BODY + 1, 413), ("", 411)])
def test_an_upload_is_refused_by_its_length_before_it_is_read(browser, length, status, to):
    connection = http.client.HTTPConnection(ADDRESS, browser.port, timeout=30)
    connection.putrequest("POST", to)
    connection.putheader("Origin", browser.origin)
    if length:
        connection.putheader("Content-Length", str(length))
    connection.endheaders()
    assert connection.getresponse().status == status
    connection.close()


def test_every_answer_forbids_what_is_from_outside(browser):
    for path in ("/", "/api/set", "/nothing"):
        _, _, headers = browser.ask(path)
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'self';")
        assert "http" not in policy
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"


# ---------------------------------------------------------------- the worker, its memory, the command


def started_worker() -> tuple[NewestFirst, threading.Event]:
    """Return a worker that is busy until the event is set."""
    worker, go, busy = NewestFirst(), threading.Event(), threading.Event()
    worker.submit("busy", lambda: (busy.set(), go.wait()))
    busy.wait()
    return worker, go


def test_of_the_waiting_the_newest_runs_first():
    worker, go = started_worker()
    order: list[int] = []
    futures: list[Future] = [worker.submit(str(i), lambda i=i: order.append(i)) for i in range(3)]
    go.set()
    for future in futures:
        future.result(timeout=10)
    assert order == [2, 1, 0]


def test_a_newer_job_takes_the_place_of_the_one_that_waits():
    worker, go = started_worker()
    older, newer = worker.submit("slider", lambda: "older"), worker.submit("slider", lambda: "newer")
    assert older.result(timeout=10) is None
    go.set()
    assert newer.result(timeout=10) == "newer"


def test_no_more_than_so_many_jobs_wait():
    worker, go = started_worker()
    futures = [worker.submit(str(i), lambda: "done") for i in range(300)]
    assert futures[0].result(timeout=10) is None
    go.set()
    assert futures[-1].result(timeout=10) == "done"


def test_an_error_reaches_who_asked_and_the_worker_goes_on():
    worker = NewestFirst()
    failing = worker.submit("a", lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        failing.result(timeout=10)
    assert worker.submit("a", lambda: 5).result(timeout=10) == 5


def test_nobody_waits_for_a_worker_that_is_closed():
    worker, go = started_worker()
    futures = [worker.submit("waiting", lambda: "done")]
    worker.close()
    futures.append(worker.submit("late", lambda: "done"))
    assert [future.result(timeout=10) for future in futures] == [None, None]
    go.set()


def test_a_server_that_ends_answers_who_waits(run):
    drawing, go = threading.Event(), threading.Event()

    class Slow(Pictures):
        def strip(self, *_: object) -> bytes:
            drawing.set()
            go.wait()
            return b""

    slow = Slow(SceneGenerator(image_size=32), choose_engine("cpu", "fp32"))
    served = BrowseServer(Page(BrowsedSet.open(run), slow))
    codes: list[int] = []
    with bound_socket(0) as bound:
        serving_thread = threading.Thread(target=served.run, kwargs={"sockets": [bound]})
        serving_thread.start()
        browser = Browser(bound.getsockname()[1])
        ask = lambda: codes.append(browser.ask("/api/strip/0?reach=2&seed=0&tab=a")[0])  # noqa: E731
        asking = threading.Thread(target=ask)
        asking.start()
        drawing.wait()
        served.should_exit = True
        serving_thread.join()
        asking.join()
    go.set()
    assert codes == [204]


def test_the_longest_unused_pictures_are_forgotten():
    recent = Recent[bytes](budget=10, size_of=len)
    recent["a",] = b"1234"
    recent["b",] = b"1234"
    assert recent["a",] == b"1234"
    recent["c",] = b"1234"
    assert (recent["a",], recent["b",], recent.size) == (b"1234", None, 8)
    recent["a",] = b"12"
    assert recent.size == 6
    recent["d",] = b"12345678901"  # larger than all there is room for
    assert (recent["a",], recent["d",], recent.size) == (None, None, 0)


def test_a_taken_port_is_told_and_the_usual_one_is_given_up():
    with bound_socket(0) as bound:
        port = bound.getsockname()[1]
        assert f"cannot listen at port {port}" in refused("browse", "--no-open", "--port", port)
    with bound_socket(None) as first, bound_socket(None) as second:
        assert first.getsockname()[1] != second.getsockname()[1]
        assert second.getsockname()[0] == "127.0.0.1"


def test_a_set_that_is_not_there(tmp_path):
    assert "nowhere" in refused("browse", tmp_path / "nowhere", "--no-open")


def test_a_shipped_set_is_read_only_by_name_and_by_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert BrowsedSet.open(tmp_path / "flowers64").file is None
    from toolkit.files.shipped import shipped_file

    opened = BrowsedSet.open(shipped_file("directions") / "flowers64.safetensors")
    assert (opened.file, str(opened.copy_to)) == (None, "flowers64-directions")


def test_an_encoder_that_is_named_has_to_fit(tmp_path):
    scene_set().save(tmp_path / "run" / "directions.safetensors")
    words = ("browse", tmp_path / "run", "--no-open", "--encoder")
    assert "the encoder estimates latents of flowers64" in refused(*words, "flowers64")
    assert "nowhere" in refused(*words, tmp_path / "nowhere")


def described_by(monkeypatch, *words: object) -> dict:
    """Return what the page that a command serves says of itself."""
    pages: list[Page] = []
    monkeypatch.setattr("cli.browse.server.BrowseServer.__init__", lambda _, page: pages.append(page))
    monkeypatch.setattr("cli.browse.server.BrowseServer.run", lambda *_, **__: None)
    ran("browse", *words, "--no-open", "--port", 0, "--device", "cpu")
    return pages[0].described()


def test_the_generators_own_encoder_is_taken_or_the_page_says_how_to_make_one(tmp_path, monkeypatch):
    scene_set().save(tmp_path / "run" / "directions.safetensors")
    assert described_by(monkeypatch)["no_embedder"] is None
    line = described_by(monkeypatch, tmp_path / "run")["no_embedder"]
    assert line.startswith("no encoder comes with scene; give --encoder, or make one: toolkit train-encoder ")


def test_the_command_is_listed():
    assert "127.0.0.1" not in ran("browse", "--help")
    assert "--segmenter" in ran("browse", "--help")
