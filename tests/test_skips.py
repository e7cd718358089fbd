"""Which skipped tests end a run of the tests in failure."""

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import unexpected_skips

SUITE = """
import pytest

def test_with_a_browser():
    pytest.skip("needs Chromium or Chrome, and POSIX signals")

def test_with_sugar():
    pytest.skip("no sugar")
"""
REASONS = ("needs Chromium or Chrome, and POSIX signals", "no sugar", "could not import 'tensorflow': No module")


def config(skips):
    reports = [SimpleNamespace(longrepr=("t.py", 1, f"Skipped: {reason}")) for reason in REASONS]
    reporter = SimpleNamespace(stats={"skipped": reports})
    plugins = SimpleNamespace(get_plugin=lambda _: reporter)
    return SimpleNamespace(getoption=lambda _: skips, pluginmanager=plugins)


@pytest.mark.parametrize(("skips", "forbidden"), [("any", ()), ("expected", REASONS[1:2]), ("none", REASONS)])
def test_only_reasons_of_the_list_are_expected(skips, forbidden):
    assert unexpected_skips(config(skips)) == [f"t.py:1: Skipped: {reason}" for reason in forbidden]


def test_an_unexpected_skip_fails_the_run_and_is_named(tmp_path):
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "test_suite.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path]
    run = subprocess.run([*command, "--skips", "expected"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 1, run.stdout + run.stderr
    named = [line for line in run.stdout.splitlines() if "which --skips expected forbids" in line]
    assert [line.rpartition(": ")[2] for line in named] == ["no sugar"]
