"""Which precision `auto` is: bf16 where it was measured to be faster, as the run began where one is resumed."""

import os
import platform
import subprocess
import sys

import pytest
from cli_runs import ran

from toolkit.compute import engine, precision
from toolkit.compute.engine import choose_engine
from toolkit.files.places import cache_folder
from toolkit.files.writing import read_json, write_json

FAST, SLOW = {"forward": 2.0, "backward": 1.7}, {"forward": 2.0, "backward": 0.4}


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Return a function that says what is measured from now on, and gives the list that each measuring adds to."""
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / "cache"))
    times: list[dict[str, float]] = []

    def measure(gains):
        monkeypatch.setattr(precision, "measured_gains", lambda: times.append(gains) or gains)
        return times

    yield measure
    precision.cpu_gains_by_bf16.cache_clear()


def _asked_anew():
    precision.cpu_gains_by_bf16.cache_clear()
    return precision.cpu_gains_by_bf16()


def test_both_ways_through_a_network_have_to_gain(measured):
    measured(SLOW)
    assert _asked_anew() is False


def test_what_was_measured_is_remembered_for_this_cpu_torch_and_limits(measured, monkeypatch):
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)  # which the whole suite may run under
    times = measured(FAST)
    assert _asked_anew() is True
    measured(SLOW)
    assert _asked_anew() is True
    assert times == [FAST]
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert _asked_anew() is False
    assert times == [FAST, SLOW]


@pytest.mark.parametrize("held", [b"{", b"[]", b'{"gains": {}}', b'{"gains": {"forward": "fast"}}', b"\xff"])
def test_a_file_that_says_something_else_is_measured_again(measured, held):
    times = measured(FAST)
    _asked_anew()
    (known,) = (cache_folder() / "precision").iterdir()
    known.write_bytes(held)
    assert _asked_anew() is True
    assert times == [FAST, FAST]
    assert read_json(known)["gains"] == FAST


def test_a_cache_that_cannot_be_written_costs_no_run(measured, tmp_path):
    (tmp_path / "cache").write_text("a file")
    measured(FAST)
    assert _asked_anew() is True


def test_what_is_measured_are_two_ratios():
    gains = precision.measured_gains()
    assert set(gains) == {"forward", "backward"}
    assert all(0 <= gain < 100 for gain in gains.values())


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="limits the instructions of x86")
def test_without_instructions_for_it_bf16_is_not_chosen(tmp_path):
    line = "from toolkit.compute.precision import cpu_gains_by_bf16; print(cpu_gains_by_bf16())"
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "TOOLKIT_CACHE": str(tmp_path)}
    told = subprocess.run([sys.executable, "-c", line], env=environment, check=True, capture_output=True, text=True)
    assert told.stdout.strip() == "False"


def test_a_resumed_run_keeps_its_precision(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "cpu_gains_by_bf16", lambda: True)
    line = ("segment", "flowers64", "--out", tmp_path / "run", "--batch", 2, "--width", 4, "--validation-samples", 0)
    ran(*line, "--steps", 1, "--device", "cpu")
    monkeypatch.setattr(engine, "cpu_gains_by_bf16", lambda: False)
    assert choose_engine("cpu", "auto").bf16 is False
    ran(*line, "--steps", 2, "--device", "cpu")
    record = read_json(tmp_path / "run" / "run.json")
    assert record["inputs"]["precision"] == "bf16"
    assert "bf16" in record["engine"]


@pytest.mark.parametrize("record", [[], {"inputs": []}, {"inputs": {"precision": "fp8"}}, {}])
def test_a_record_that_does_not_say_leaves_the_choice(tmp_path, monkeypatch, record):
    write_json(tmp_path / "run.json", record)
    monkeypatch.setattr(engine, "cpu_gains_by_bf16", lambda: True)
    assert choose_engine("cpu", "auto", tmp_path).bf16 is True
