"""Kill -9 in the middle of a run, the same command again: the same final numbers as an unbroken run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from generators.scene import SceneGenerator
from toolkit.artefacts import load_artefact
from toolkit.directions import Choice, DirectionSet
from toolkit.photos import write_picture
from toolkit.pixels import to_bytes
from toolkit.streams import Stream

_START = "from cli.app import main; main()"


def _command(arguments, out):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-c", _START, *map(str, arguments), "--out", str(out)]
    return subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _killed_after_checkpoint(arguments, out: Path, sign: str = "checkpoint.pt") -> None:
    process = _command(arguments, out)
    deadline = time.monotonic() + 120
    while not (out / sign).exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (out / "result.json").exists(), "the run ended before it was killed: give it more steps"


def _finished(arguments, out: Path) -> str:
    output, _ = (process := _command(arguments, out)).communicate(timeout=240)
    assert process.returncode == 0, output
    return output


def _directions(folder: Path) -> None:
    generator = SceneGenerator()
    vectors = generator.contrast_direction()[None]
    source = {"source": {"generator": "scene"}}
    DirectionSet(vectors, "scene", "known", choice=Choice(0, 1, 3.0), card=source).save(folder / "d.safetensors")


def _photos(folder: Path) -> None:
    generator = SceneGenerator(image_size=32)
    for index, picture in enumerate(to_bytes(generator(generator.sample(12, Stream(0, "photos"))))):
        write_picture(folder / "photos" / f"{index}.png", picture)


_RUNS = {
    "discover": (
        "directions.safetensors",
        "direction set",
        lambda folder: (
            "discover", "--generator", "scene", "--steps", "120", "--batch", "8", "--directions", "6",
            "--reconstructor", "lenet", "--validation-batches", "2", "--checkpoint-every", "5", "--log-every", "1",
        ),
    ),
    "segment": (
        "segmenter.safetensors",
        "segmenter",
        lambda folder: (
            "segment", folder / "d.safetensors", "--steps", "100", "--batch", "8", "--width", "4",
            "--validation-count", "8", "--validate-every", "50", "--checkpoint-every", "5",
            "--log-every", "1", "--augment",
        ),
    ),
    "train-generator": (
        "generator.safetensors",
        "compact generator",
        lambda folder: (
            "train-generator", folder / "photos", "--steps", "120", "--batch", "8", "--width", "8",
            "--critic-width", "8", "--image-size", "32", "--latent-dim", "8", "--grid-every", "60",
            "--checkpoint-every", "5", "--log-every", "1",
        ),
    ),
    "bigbigan": (
        "encoder.safetensors",
        "encoder",
        lambda folder: (
            "train-generator", folder / "photos", "--objective", "bigbigan", "--steps", "60", "--batch", "8",
            "--width", "8", "--critic-width", "8", "--encoder-width", "8", "--joint-width", "8", "--image-size", "32",
            "--latent-dim", "8", "--grid-every", "30", "--checkpoint-every", "5", "--log-every", "1",
        ),
    ),
    "train-encoder": (
        "encoder.safetensors",
        "encoder",
        lambda folder: (
            "train-encoder", "--generator", "scene", "--photos", folder / "photos", "--steps", "100", "--batch", "8",
            "--photo-batch", "4", "--width", "4", "--checkpoint-every", "5", "--validate-every", "50",
            "--log-every", "1",
        ),
    ),
}  # fmt: skip


def test_kill_and_start_again_writes_the_same_pairs(tmp_path):
    _directions(tmp_path)
    arguments = (
        "synthesize", tmp_path / "d.safetensors", "--count", "300", "--batch", "4", "--layout", "shards",
        "--shard-size", "70", "--checkpoint-every", "3",
    )  # fmt: skip
    _killed_after_checkpoint(arguments, tmp_path / "broken", sign="shard-000000.tar")
    assert "resuming at step" in _finished(arguments, tmp_path / "broken")
    _finished(arguments, tmp_path / "whole")
    broken, whole = (sorted((tmp_path / run).glob("shard-*.tar")) for run in ("broken", "whole"))
    assert [path.name for path in broken] == [path.name for path in whole]
    assert len(whole) == 5
    assert all(one.read_bytes() == other.read_bytes() for one, other in zip(broken, whole, strict=True))
    manifests = [json.loads((tmp_path / run / "manifest.json").read_text()) for run in ("broken", "whole")]
    assert manifests[0] == manifests[1]


@pytest.mark.parametrize("name", list(_RUNS))
def test_kill_and_start_again_gives_the_same_numbers(name, tmp_path):
    artefact, kind, arguments_in = _RUNS[name]
    _directions(tmp_path)
    _photos(tmp_path)
    arguments = arguments_in(tmp_path)
    _killed_after_checkpoint(arguments, tmp_path / "broken")
    assert "resuming at step" in _finished(arguments, tmp_path / "broken")
    _finished(arguments, tmp_path / "whole")
    broken, _ = load_artefact(tmp_path / "broken" / artefact, kind)
    whole, _ = load_artefact(tmp_path / "whole" / artefact, kind)
    assert set(broken) == set(whole)
    assert all(torch.equal(broken[tensor], whole[tensor]) for tensor in whole)
    assert json.loads((tmp_path / "broken" / "result.json").read_text()) == json.loads(
        (tmp_path / "whole" / "result.json").read_text()
    )
    lines = [(tmp_path / run / "metrics.jsonl").read_text() for run in ("broken", "whole")]
    assert lines[0] == lines[1]
