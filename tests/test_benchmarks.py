"""The benchmarks run and write their figures; what they measure is timed nowhere in the tests."""

import json
import sys

import torch

from benchmarks import memory, modern, speed
from generators.published.biggan.generator import BigBiGAN
from generators.published.biggan.network import BigGANNetwork, BigGANShape


def test_the_table_is_printed_and_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["speed", "--only", "filters", "--rounds", "1", "--out", str(tmp_path / "s.json")])
    speed.main()
    figures = json.loads((tmp_path / "s.json").read_text())
    assert set(figures["ceilings"]) == {"fp32", "bf16", "bytes"}
    assert figures["peak memory"] > 0
    row = figures["filters, 95 masks, specks"]
    assert set(row) == {"plain", "fast"}
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
