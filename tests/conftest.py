"""Shared test pieces, and which tests may be skipped."""

import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

GOLDEN = Path(__file__).parent / "golden"
EXPECTED_SKIPS = (
    "needs Chromium or Chrome",
    "could not import 'tensorflow'",  # some 600 MB: .ci/run gives its tests an environment of their own
    "could not import 'pillow_heif'",  # the same: without it others test what is said where the extra is missing
    "there is a cuda device here",
    r"torch 2\.6 cannot export",
)


WORKERS = 2  # of a whole run; each computes in one thread
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # of what tests start, too
    torch.set_num_threads(1)


def pytest_xdist_auto_num_workers(config):
    """Share a whole run among processes, file by file; a few named files start sooner in this one."""
    whole = [str(Path(one).resolve()) for one in config.args] == [str(Path(__file__).parent.resolve())]
    return WORKERS if whole else 0


def pytest_configure():
    """Heed signals again that a shell had pytest ignore, as it does for what it starts in the background."""
    for name, handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_addoption(parser):
    parser.addoption(
        "--skips",
        choices=("any", "expected", "none"),
        default="any",
        help="fail if a test is skipped at all, or for another reason than those of tests/conftest.py",
    )


def unexpected_skips(config) -> list[str]:
    """Return `file:line: reason` of each skip that --skips does not allow."""
    allowed = {"any": ("",), "expected": EXPECTED_SKIPS, "none": ()}[config.getoption("--skips")]
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    skipped = [] if reporter is None else reporter.stats.get("skipped", [])  # in a worker there is none
    places = [report.longrepr for report in skipped]  # (file, line, reason)
    return [f"{file}:{line}: {why}" for file, line, why in places if not any(re.search(each, why) for each in allowed)]


def pytest_sessionfinish(session):
    if unexpected_skips(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    for place in unexpected_skips(config):
        terminalreporter.write_line(f"skipped, which --skips {config.getoption('--skips')} forbids: {place}", red=True)


@pytest.fixture
def golden():
    """Return a loader of golden arrays: golden("biggan") -> dict of numpy arrays."""

    def load(name: str) -> dict[str, np.ndarray]:
        with np.load(GOLDEN / f"{name}_seed0.npz", allow_pickle=False) as arrays:
            return dict(arrays)

    return load


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def _own_settings(tmp_path_factory):
    """No test trusts what another user of this machine typed, nor leaves anything in his folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOOLKIT_SETTINGS", str(tmp_path_factory.getbasetemp() / "settings"))
        yield


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    for name in ("TOOLKIT_WEIGHTS", "TOOLKIT_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
