"""Records of benchmarks are written in one form, compared, and the originals' figures stand in the docs as they are."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from benchmarks import commands, compare, filters, measures, originals, record, speed, timing

ROOT = Path(__file__).parent.parent
XEON = "model name\t: Intel Xeon\nflags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16 amx_int8\n\n"
ARM = "Features\t: fp asimd bf16 sve\n"


def written(path, rows, **other):
    path.write_text(json.dumps({"benchmark": "b", "machine": {}, "torch": "2", "threads": 1, "rows": rows} | other))
    return str(path)


def ran(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["compare", *words])
    with pytest.raises(SystemExit) as ended:
        compare.main()
    return ended.value.code


def test_what_got_slower_is_named_with_status_1(tmp_path, monkeypatch, capsys):
    old = written(tmp_path / "old.json", {"a": {"x": {"cpu": [1.0, 1.2, 1.1]}}, "b": {"x": {"cpu": [2.0]}}})
    new = written(tmp_path / "new.json", {"a": {"x": {"cpu": [2.2, 2.2, 2.3]}}, "b": {"x": {"cpu": [1.0]}}})
    assert ran(monkeypatch, old, new) == 1
    printed = capsys.readouterr().out
    assert "0.50x" in printed
    assert "2.00x" in printed
    assert "1.1000 +-0.1000 s" in printed
    assert [line for line in printed.splitlines() if line.startswith("slower")] == ["slower by 100%: a: x"]


@pytest.mark.parametrize(("seconds", "status"), [(1.049, 0), (1.051, 1), (0.5, 0)])
def test_five_percent_are_allowed(tmp_path, monkeypatch, seconds, status):
    old = written(tmp_path / "old.json", {"a": {"x": {"cpu": [1.0]}}})
    new = written(tmp_path / "new.json", {"a": {"x": {"cpu": [seconds]}}})
    assert ran(monkeypatch, old, new) == status


def test_other_seconds_and_another_share_are_taken_when_asked_for(tmp_path, monkeypatch):
    old = written(tmp_path / "old.json", {"a": {"x": {"cpu": [1.0], "wall": [1.0]}}})
    new = written(tmp_path / "new.json", {"a": {"x": {"cpu": [1.0], "wall": [1.5]}}})
    assert ran(monkeypatch, old, new) == 0
    assert ran(monkeypatch, old, new, "--by", "wall") == 1
    assert ran(monkeypatch, old, new, "--by", "wall", "--allowed", "0.6") == 0


def test_rows_of_one_record_and_other_circumstances_are_told(tmp_path, monkeypatch, capsys):
    old = written(tmp_path / "old.json", {"a": {"x": {"cpu": [1.0]}, "gone": {"cpu": [1.0]}}})
    new = written(tmp_path / "new.json", {"a": {"x": {"cpu": [1.0]}, "more": {"cpu": [1.0]}}}, threads=2)
    assert ran(monkeypatch, old, new) == 0
    printed = capsys.readouterr().out
    assert "not alike: threads: 1 against 2" in printed
    assert f"only in {old}" in printed
    assert f"only in {new}" in printed


@pytest.mark.parametrize(
    "held", ["{", "[]", '{"rows": 1}', '{"rows": {"a": {"x": {"cpu": []}}}}', '{"rows": {"a": 1}}']
)
def test_a_file_that_is_no_record_is_refused_in_a_line(tmp_path, monkeypatch, capsys, held):
    (tmp_path / "bad.json").write_text(held)
    good = written(tmp_path / "good.json", {"a": {"x": {"cpu": [1.0]}}})
    assert ran(monkeypatch, good, str(tmp_path / "bad.json")) == 2
    assert "bad.json" in capsys.readouterr().err.splitlines()[-1]


def test_a_record_says_where_and_how_often_and_can_be_compared(tmp_path, monkeypatch):
    times = timing.by_turns({"plain": lambda: sum(range(10000)), "fast": lambda: sum(range(10))}, rounds=3)
    record.write(tmp_path / "r.json", "sums", timing.figures({"sum": times}), rounds=3, batch=1)
    held = compare.read_record(tmp_path / "r.json")
    assert set(held) == {"benchmark", "machine", "torch", "threads", "rounds", "rows", "further"}
    assert [len(held["rows"]["sum"][way][kind]) for way in times for kind in ("wall", "cpu")] == [3] * 4
    assert compare.differences(held, held) == []
    assert [change.ratio for change in compare.changes(held, held)] == [1.0, 1.0]
    record.write(None, "sums", {})  # nothing is asked for, nothing is written


def test_times_are_medians_and_shared_out():
    times = timing.Times((1.0, 9.0, 2.0), (3.0, 1.0, 2.0))
    assert (times.seconds, times.work) == (2.0, 2.0)
    assert times.each(2) == timing.Times((0.5, 4.5, 1.0), (1.5, 0.5, 1.0))


@pytest.mark.parametrize(
    ("described", "processor", "instructions"),
    [
        (XEON, "Intel Xeon", ["amx_bf16", "amx_int8", "avx512_bf16", "avx512f", "avx2"]),
        (ARM, None, ["bf16", "sve", "asimd"]),
    ],
)
def test_the_kind_of_processor_is_read(described, processor, instructions):
    found = record.machine(described)
    assert found["instructions"] == instructions
    assert found["processor"] == processor or (processor is None and found["processor"])


def test_whole_commands_are_recorded_round_by_round():
    rounds = [{"wall": 1.0, "cpu": 2.0, "peak": 3.0}, {"wall": 3.0, "cpu": 2.0, "peak": 5.0}]
    assert commands.columns({"this build": rounds}) == {"this build": {"wall": [1, 3], "cpu": [2, 2], "peak": [3, 5]}}
    assert commands.summed_up(rounds) == {"wall": (2, 1), "cpu": (2, 0), "peak": (4, 1)}


def test_every_benchmark_writes_a_record(monkeypatch, capsys):
    for path in (ROOT / "benchmarks").glob("*.py"):
        module = importlib.import_module(f"benchmarks.{path.stem}")
        if hasattr(module, "main") and module is not compare:
            monkeypatch.setattr(sys, "argv", [path.stem, "--help"])
            with pytest.raises(SystemExit):
                module.main()
            assert "--json" in capsys.readouterr().out, path.stem


def test_the_originals_figures_name_rows_and_stand_in_the_docs():
    assert originals.table() in (ROOT / "docs" / "processors.md").read_text()
    known = {*speed.NETWORKS, *measures.works(), "predict, width 64, 128 px"}
    known |= {f"filters, 95 masks, {kind}" for kind in filters.KINDS} | {"all measures / PySODMetrics' five"}
    rows = {r.row for c in (originals.ORIGINAL_CODE, originals.REWRITTEN) for r in c.ratios if r.row is not None}
    assert rows <= known
    assert originals.told("twins", "bf16").strip() == "original 3.7x"
    assert originals.told("twins", "plain") == originals.told("unknown", "fp32") == ""
