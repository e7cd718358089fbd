"""The benchmarks run and write their figures; what they measure is timed nowhere in the tests."""

import json
import signal
import sys

import torch
from PIL import Image

from benchmarks import memory, modern, regret, serve, speed
from generators.published.biggan.generator import BigBiGAN
from generators.published.biggan.network import BigGANNetwork, BigGANShape
from generators.published.proggan import ProgGANShape
from generators.scene import SceneGenerator
from toolkit.directions import DirectionSet
from toolkit.pictures.pixels import to_bytes
from toolkit.streams import Stream


def test_the_table_is_printed_and_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", ["speed", "--only", "filters", "--rounds", "1", "--json", str(tmp_path / "s.json")]
    )
    speed.main()
    figures = json.loads((tmp_path / "s.json").read_text())
    assert set(figures["further"]["ceilings"]) == {"fp32", "bf16", "bytes"}
    assert figures["further"]["peak memory"] > 0
    row = figures["rows"]["filters, 95 masks, specks"]
    assert {way: set(times) for way, times in row.items()} == {way: {"wall", "cpu"} for way in ("plain", "fast")}
    assert "filters, 95 masks, specks" in capsys.readouterr().out


def test_every_network_row_does_the_same_work_in_all_ways(monkeypatch):
    tiny = BigGANShape(resolution=32, ch=4, dim_z=16, shared_dim=4, num_classes=3, attention_resolution=16)
    monkeypatch.setattr(speed, "BIGBIGAN", tiny)
    state = speed.drawn_state(tiny)
    generator = BigBiGAN(BigGANNetwork(tiny, {**state, "shared.weight": state["shared.weight"][:1]}))
    bench = speed.Bench(state, generator, torch.device("cpu"), 2)
    for make in (speed.twins, speed.pairs, speed.discovery):
        found = speed.measured_row(make(bench), bench, {"fp32": 1e9, "bf16": 1e9}, 1)
        assert set(found) == {"plain", "fp32", "bf16"}
        assert all(way["multiplications a second"] > 0 for way in found.values())


def test_memory_is_told_early_and_late():
    found = memory.growth(2)
    assert list(found) == list(memory.TRAININGS)
    assert all(0 < first <= last < 2 * first for first, last in found.values())


def test_modern_generators_render_the_same_in_all_ways():
    found = modern.measured(modern.stylegan3(32, rounded=False), 1)
    assert list(found) == ["plain", "plain, 1-D", "fp32", "bf16"]
    assert found["fp32"]["difference"] < 1e-4
    assert found["bf16"]["difference"] < 0.2


def test_stylegan2_renders_the_same_in_all_ways_and_has_a_limit():
    case = modern.stylegan2ada(16, batch=2, base=256)
    found = modern.measured(case, 1)
    assert list(found) == ["plain", "fp32", "bf16"]
    assert found["fp32"]["difference"] < 1e-4
    assert found["bf16"]["difference"] < 0.2
    assert modern.limit(case, 1) > 0


def test_biggan_deep_renders_the_same_in_all_ways():
    found = modern.measured(modern.biggan_deep(128, batch=2, width=8), 1)
    assert list(found) == ["plain", "fp32", "bf16"]
    assert found["fp32"]["difference"] < 1e-4
    assert found["bf16"]["difference"] < 0.3


def test_proggan_and_biggan_render_the_same_in_all_ways():
    tiny = BigGANShape(resolution=32, ch=4, dim_z=16, shared_dim=4, num_classes=3, attention_resolution=16)
    for case in (modern.proggan(ProgGANShape((16, 16, 16, 16, 8, 8), 16)), modern.biggan(tiny, batch=2)):
        found = modern.measured(case, 1)
        assert list(found) == ["plain", "fp32", "bf16"]
        assert found["fp32"]["difference"] < 1e-4
        assert found["bf16"]["difference"] < 0.2


def test_regret_on_photos_is_read_off_short_trainings_and_resumed(tmp_path, monkeypatch, capsys):
    generator = SceneGenerator(image_size=16)
    vectors = torch.stack([generator.contrast_direction(), generator.direction("size")])
    card = {"source": {"generator": "scene@image_size=16"}}
    DirectionSet(vectors, "scene", "known", card=card).save(tmp_path / "set.safetensors")
    latents = generator.sample(4, Stream(0, "photos"))
    for name, pictures in (("images", to_bytes(generator(latents))), ("masks", generator.masks(latents).numpy())):
        (tmp_path / name).mkdir()
        for number, picture in enumerate(pictures):
            Image.fromarray(picture).save(tmp_path / name / f"{number}.png")
    given = [str(tmp_path / name) for name in ("set.safetensors", "images", "masks")]
    monkeypatch.setattr(sys, "argv", ["regret", *given, "--out", str(tmp_path / "out"), "--steps", "1"])
    monkeypatch.setattr(regret, "_SHORT", {**regret._SHORT, "width": 2, "batch": 2})
    regret.main()
    printed = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("judging")]
    runs = [tmp_path / "out" / str(index) for index in (0, 1)]
    ious = [json.loads((run / "regret.json").read_text())["iou"] for run in runs]
    lost = max(ious) - ious[0]  # of the contrast direction, which is the picked one
    assert printed[-1] == f"picked {ious[0]:.3f}, best {max(ious):.3f}, regret {lost:.3f}"
    monkeypatch.setattr(regret.toolkit, "segment", None)
    regret.main()
    assert capsys.readouterr().out.splitlines() == printed


def test_a_server_under_load_answers_everybody_and_leaves_no_file():
    flags = ["--segmenter", "flowers64", "--device", "cpu", "--precision", "fp32"]
    with serve.served(flags) as server:
        photos = serve.drawn_photos()[:2]
        connection = server.connected()
        expected = [serve.posted(connection, "mask", photo) for photo in photos]
        connection.close()
        load = serve.loaded(server, "mask", photos, expected, 4, 2)
        assert (len(load.seconds), load.wrong, load.lost, len(load.memory)) == (8, 0, 0, 4)
        assert serve.under_load(server, "mask", photos, 4, signal.SIGTERM) == (4, 0)
        assert not list(server.folder.iterdir())
