"""Two processes give what one gives: exchanges, batch norm, every training and every command that shares work."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from rounding import close
from team_jobs import JOBS, SCENE, TRAININGS, commands
from test_stylegan2 import filled

from generators.published.stylegan2.shape import StyleGAN2Shape
from generators.scene import SceneGenerator
from toolkit.compute.engine import choose_engine
from toolkit.compute.team import SOLO, Team, _within
from toolkit.directions import Choice, DirectionSet
from toolkit.errors import TeamError, UserError
from toolkit.pictures.photos import write_picture
from toolkit.pictures.pixels import to_bytes
from toolkit.streams import Stream

TESTS = Path(__file__).parent


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Return (folder, results of both processes, results of one), the commands' outputs being in two/ and one/."""
    folder = tmp_path_factory.mktemp("team")
    _material(folder)
    processes = []
    for rank in range(2):
        environment = {
            **os.environ,
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "2",
            "OMP_NUM_THREADS": "1",
            "TOOLKIT_RENDEZVOUS": f"file://{folder / 'rendezvous'}",
            "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
        }
        line = [sys.executable, str(TESTS / "team_jobs.py"), str(folder)]
        processes.append(
            subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        )
    outputs = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "".join(outputs)
    engine, threads = choose_engine("cpu", "fp32"), torch.get_num_threads()
    torch.set_num_threads(1)  # sums depend on it
    alone = {name: job(engine) for name, job in JOBS.items()}
    commands(folder, folder / "one")
    torch.set_num_threads(threads)
    return folder, [torch.load(folder / f"rank{rank}.pt") for rank in range(2)], alone


def _material(folder: Path) -> None:
    pictures = to_bytes(SCENE(SCENE.sample(7, Stream(0, "photos"))))
    for index, picture in enumerate(pictures):
        for place in ("photos", "good"):
            write_picture(folder / place / f"{index}.png", picture)
        write_picture(folder / "masks" / f"{index}.png", (picture.mean(axis=2) > 100 + index).astype(np.uint8) * 255)
    (folder / "photos" / "2.png").write_bytes(b"no picture")
    shape = StyleGAN2Shape((8, 6), style_dim=8, mapping_layers=2, latent_dim=8)
    torch.save({"g_ema": filled(shape)}, folder / "styled.pt")
    source = {"source": {"generator": "scene"}}
    vectors = SceneGenerator().contrast_direction()[None]
    DirectionSet(vectors, "scene", "known", choice=Choice(0, 1, 3.0), card=source).save(folder / "d.safetensors")


@pytest.mark.parametrize("name", list(TRAININGS))
def test_two_processes_train_what_one_trains(done, name):
    _, (two, _), one = done
    assert set(two[name]) == set(one[name])
    for key, value in one[name].items():
        other = two[name][key]
        if key.startswith("after") and value.is_floating_point():
            moved = (value - one[name][key.replace("after", "before")]).norm()
            assert (value - other).norm() <= 0.01 * moved + 1e-5, key
        elif not key.startswith("before"):
            torch.testing.assert_close(other, value, rtol=2e-3, atol=1e-4, msg=lambda text, key=key: f"{key}: {text}")


@pytest.mark.parametrize("name", list(JOBS))
def test_all_processes_hold_the_same_bits(done, name):
    _, (lead, other), _ = done
    for key, value in lead[name].items():
        assert torch.equal(value, other[name][key]), key


def test_batch_norm_sees_the_samples_of_all_processes(done):
    _, (two, _), one = done
    for key, value in one["batch norm"].items():
        torch.testing.assert_close(two["batch norm"][key], value, rtol=1e-4, atol=2e-5)


def test_exchanges(done):
    _, (two, _), _ = done
    found = {name: value.tolist() for name, value in two["exchanges"].items()}
    assert found == {
        "total": [3.0],
        "any": [True, False],
        "led": 10,
        "together": [0, 1],
        "masks": [True, False, True, False, True],
        "refused": [True, True],
        "too few": True,
    }


def test_latents_of_photos_are_those_of_one_process_in_their_order(done):
    folder, _, _ = done
    one, two = (np.load(folder / run / "z.npy") for run in ("one", "two"))
    close(two, one, depth=10)
    for name in ("w.npy", "w.noise.npy"):  # found in steps
        np.testing.assert_allclose(*(np.load(folder / run / name) for run in ("one", "two")), atol=1e-3)
    records = [json.loads((folder / run / "z.json").read_text()) for run in ("one", "two")]
    assert records[0]["files"] == records[1]["files"] == [f"{i}.png" for i in range(7) if i != 2]
    assert len(records[1]["left_out"]) == 1


def test_predictions_are_those_of_one_process(done):
    folder, _, _ = done
    one, two = (sorted((folder / run / "predicted").rglob("*.png")) for run in ("one", "two"))
    assert [path.name for path in one] == [path.name for path in two]
    assert len(one) == 18
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(one, two, strict=True))
    for name in ("result.csv", "result.json"):
        tables = [(folder / run / "predicted" / name).read_bytes() for run in ("one", "two")]
        assert tables[0] == tables[1]


def test_measures_are_those_of_one_process(done):
    folder, _, _ = done
    one, two = (json.loads((folder / run / "eval" / "result.json").read_text()) for run in ("one", "two"))
    (one_set,), (two_set,) = one.pop("datasets"), two.pop("datasets")
    assert one_set.pop("measures") == pytest.approx(two_set.pop("measures"), abs=1e-12)  # sums in another order
    assert one_set == two_set
    assert one == two
    tables = [(folder / run / "eval" / "good.csv").read_text() for run in ("one", "two")]
    assert tables[0] == tables[1]


@pytest.mark.parametrize("layout", ["folder", "shards"])
def test_pairs_are_those_of_one_process(done, layout):
    folder, _, _ = done
    one, two = (
        {path.relative_to(folder / run): path.read_bytes() for path in (folder / run / layout).rglob("*.???")}
        for run in ("one", "two")
    )
    kinds = {".png", ".tar"}
    assert {path for path in one if path.suffix in kinds} == {path for path in two if path.suffix in kinds}
    assert all(two[path] == content for path, content in one.items() if path.suffix in kinds)


def test_rows_cover_a_batch_in_whole_groups():
    shares = [Team(rank, 3).rows(40, 8) for rank in range(3)]
    assert [range(40)[rows] for rows in shares] == [range(8), range(8, 24), range(24, 40)]


def test_rows_are_evened_out_with_few_that_change_hands():
    holders = torch.tensor([0, 0, 1, 0, 0, 2, 0])
    evened = Team(0, 3).evened(holders)
    assert torch.bincount(evened).tolist() == [2, 2, 3]
    assert int((evened != holders).sum()) == 3
    assert torch.equal(Team(2, 3).evened(evened), evened)


def test_a_batch_too_small_for_the_processes_is_refused():
    with pytest.raises(UserError, match="16 samples cannot be shared among 3 processes"):
        Team(0, 3).rows(16, 8)


def test_alone_everything_returns_at_once():
    values = torch.ones(3)
    assert SOLO.total(values) is values
    assert SOLO.joined(values, 3) is values
    assert SOLO.led(lambda: 5) == 5
    assert SOLO.together(lambda: 5) == [5]
    assert SOLO.rows(7) == slice(0, 7)


def test_a_meeting_that_others_do_not_come_to_ends():
    with pytest.raises(TeamError, match="not all came within 0 minutes; start all of them"):
        _within(threading.Event().wait, 0.05, "not all came")


def test_what_keeps_processes_from_meeting_is_said_in_a_line():
    def refused() -> None:
        raise RuntimeError("connection refused\nat line 3")

    with pytest.raises(TeamError, match=r"no contact with the other processes of this run \(connection refused\)"):
        _within(refused, 5, "not all came")
