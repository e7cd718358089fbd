"""Artefacts on the hub, against a server on this machine that answers as the hub does."""

import json
import os
from pathlib import Path

import pytest
from cli_runs import ran
from hub_server import Hub

from toolkit.files.shipped import shipped_file
from toolkit.hub import fetching

huggingface_hub = pytest.importorskip("huggingface_hub")
PHOTO = shipped_file("photos") / "flower.jpg"
SEGMENTER = shipped_file("segmenters") / "flowers64.safetensors"
DIRECTIONS = shipped_file("directions") / "flowers64.safetensors"
GENERATOR = shipped_file("generators") / "flowers64.safetensors"
ENCODER = shipped_file("encoders") / "flowers64.safetensors"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    served = Hub()
    for name in [name for name in os.environ if name.startswith("HF_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(constants, "ENDPOINT", served.address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", served.address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(fetching, "_settled", {})
    monkeypatch.chdir(tmp_path)
    yield served
    close_session()
    served.close()


@pytest.fixture
def offline(monkeypatch):
    def switch() -> None:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(fetching, "_settled", {})

    return switch


def a_new_process() -> None:
    fetching._settled.clear()


def test_a_segmenter_is_used_from_the_hub_and_recorded_with_its_commit(hub):
    commit = hub.put("me/flowers", {"segmenter.safetensors": SEGMENTER.read_bytes()})
    printed = ran("predict", PHOTO, "--segmenter", "hub:me/flowers", "--out", "masks")
    recorded = json.loads(Path("masks/result.json").read_text())
    assert recorded["segmenter"] == f"hub:me/flowers/segmenter.safetensors@{commit}", recorded
    assert "wrote 3 pictures" in printed
    ran("predict", PHOTO, "--out", "shipped")
    assert Path("masks/flower_mask.png").read_bytes() == Path("shipped/flower_mask.png").read_bytes()
