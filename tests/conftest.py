"""Shared test pieces."""

from pathlib import Path

import numpy as np
import pytest
import torch

GOLDEN = Path(__file__).parent / "golden"


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
