"""--max-memory: the batch is cut to fit, the cut is recorded, and what cannot fit is refused."""

import tomllib

import pytest
from cli_runs import DISCOVER, SEGMENT, ran, refused

from generators.scene import SceneGenerator
from toolkit.directions import Choice, DirectionSet

SHORT = ("--steps", "2", "--validation-samples", "4", "--validate-every", "2")


@pytest.fixture
def true_set(tmp_path):
    vectors = SceneGenerator().contrast_direction()[None]
    card = {"source": {"generator": "scene"}}
    DirectionSet(vectors, "scene", "known", choice=Choice(0, 1, 3.0), card=card).save(tmp_path / "d.safetensors")
    return tmp_path / "d.safetensors"


def _micro_batch(run):
    return tomllib.loads((run / "config.toml").read_text()).get("micro_batch")


def test_segment_cuts_its_batch_to_fit(true_set, tmp_path):
    printed = ran("segment", true_set, *SEGMENT, *SHORT, "--max-memory", "18MB", "--out", tmp_path / "run")
    micro_batch = _micro_batch(tmp_path / "run")
    assert 1 < micro_batch < 16
    assert f"18MB hold {micro_batch} of the 16 samples of a batch at a time" in printed


def test_a_batch_that_fits_stays_whole(true_set, tmp_path):
    ran("segment", true_set, *SEGMENT, *SHORT, "--max-memory", "4GB", "--out", tmp_path / "run")
    assert _micro_batch(tmp_path / "run") is None


def test_discover_cuts_its_batch_to_fit(tmp_path):
    flags = ("--generator", "scene", *DISCOVER, "--batch", "64", "--max-memory", "60MB")
    ran("discover", *flags, "--out", tmp_path / "run")
    assert 1 < _micro_batch(tmp_path / "run") < 64


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--max-memory", "1MB"), "needs"),
        (("--max-memory", "a lot"), "is no amount of memory"),
        (("--max-memory", "4GB", "--micro-batch", "4"), "give one of the two"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(true_set, tmp_path, flags, words):
    assert words in refused("segment", true_set, *SEGMENT, *flags, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_other_methods_have_no_batch_to_cut(tmp_path):
    told = refused("discover", "--method", "sefa", "--max-memory", "4GB", "--out", tmp_path / "run")
    assert "go with --method deformator" in told
