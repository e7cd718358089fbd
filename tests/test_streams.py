"""Random rows by index: the same sample whatever the batch size, with the right distribution."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from toolkit.errors import UserError
from toolkit.streams import Stream

WIDTHS = (1, 3, 4, 5, 8, 17)  # around the four numbers a counter step gives


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("batch", [1, 2, 3, 7, 23])
def test_a_row_is_the_same_whatever_the_batch_size(width, batch):
    whole = Stream(7, "rows").uniform(23, width)
    stream = Stream(7, "rows")
    parts = [stream.uniform(min(batch, 23 - start), width) for start in range(0, 23, batch)]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("truncation", [None, 0.8])
def test_normal_rows_do_not_depend_on_the_batch_size(truncation):
    whole = Stream(1, "rows").normal(12, 5, truncation)
    stream = Stream(1, "rows")
    assert torch.equal(torch.cat([stream.normal(n, 5, truncation) for n in (5, 1, 6)]), whole)


def test_whole_numbers_do_not_depend_on_the_batch_size():
    stream = Stream(1, "rows")
    assert torch.equal(torch.cat([stream.integers(n, 50) for n in (5, 1, 6)]), Stream(1, "rows").integers(12, 50))


@pytest.mark.parametrize("width", WIDTHS)
def test_any_row_is_reached_at_once(width):
    assert torch.equal(Stream(7, "rows", position=11).uniform(4, width), Stream(7, "rows").uniform(15, width)[11:])


def test_drawing_moves_the_position_by_the_rows_drawn():
    stream = Stream(0, "moves")
    stream.uniform(3, 9)
    stream.normal(4, 2)
    stream.integers(5, 10)
    assert stream.position == 12


def test_no_rows_are_a_table_without_rows():
    stream = Stream(0, "none")
    assert stream.normal(0, 6).shape == (0, 6)
    assert stream.integers(0, 3).shape == (0,)
    assert stream.position == 0


@pytest.mark.parametrize("other", [Stream(1, "a"), Stream(0, "b"), Stream(0, "a", 1)])
def test_seed_name_and_position_each_change_the_numbers(other):
    assert not torch.isin(other.uniform(1, 4), Stream(0, "a").uniform(1, 4)).any()


def test_widths_name_tables_of_their_own():
    assert not torch.isin(Stream(0, "a").uniform(5, 3), Stream(0, "a").uniform(5, 4)).any()


def test_the_first_numbers_stay_what_they_are():
    """A published sample is named by its seed; these change only together with everything that was published."""
    expected = [0.6873903890947872, 0.8744812384591323, 0.18971985431753086]
    assert Stream(0, "latents").uniform(1, 3)[0].tolist() == expected


def test_types():
    assert Stream(0, "a").uniform(2, 3).dtype == torch.float64
    assert Stream(0, "a").normal(2, 3).dtype == torch.float32
    assert Stream(0, "a").integers(2, 3).dtype == torch.int64


def test_uniform_numbers_are_uniform():
    values = Stream(3, "uniform").uniform(40_000, 5).flatten().numpy()
    assert stats.kstest(values, "uniform").statistic < 1.95 / math.sqrt(values.size)  # exceeded once in 1000 seeds


def test_normal_moments():
    values = Stream(3, "normal").normal(40_000, 5).double()
    count = values.numel()
    assert abs(values.mean()) < 5 / math.sqrt(count)
    assert abs(values.var() - 1) < 5 * math.sqrt(2 / count)  # the variance of x^2 is 2
    assert abs((values**3).mean()) < 5 * math.sqrt(15 / count)
    assert abs((values**4).mean() - 3) < 5 * math.sqrt(96 / count)


def test_neighbouring_rows_and_columns_are_independent():
    values = Stream(3, "normal").normal(40_000, 5).double()
    bound = 5 / math.sqrt(40_000)
    assert abs((values[1:, 0] * values[:-1, 0]).mean()) < bound
    correlation = torch.corrcoef(values.T) - torch.eye(5)
    assert correlation.abs().max() < bound


@pytest.mark.parametrize("bound", [0.1, 0.5, 1.0, 2.0])
def test_truncation_cuts_the_density_and_does_not_scale(bound):
    values = Stream(5, "cut").normal(50_000, 4, bound).double()
    assert values.abs().max() <= bound * (1 + 2**-24)  # float32 rounds to nearest
    assert values.abs().max() > 0.999 * bound
    density, inside = stats.norm.pdf(bound), 2 * stats.norm.cdf(bound) - 1
    variance = 1 - 2 * bound * density / inside
    # x^2 lies in [0, t^2], so its own variance is at most t^2 times its mean.
    assert abs(values.square().mean() - variance) < 5 * math.sqrt(bound**2 * variance / values.numel())
    assert abs(values.mean()) < 5 * math.sqrt(variance / values.numel())


def test_a_wide_truncation_changes_next_to_nothing():
    torch.testing.assert_close(Stream(0, "a").normal(100, 4, 9.0), Stream(0, "a").normal(100, 4))


@pytest.mark.parametrize("bound", [0, -1.0, math.nan])
def test_truncation_at_or_below_zero_is_refused(bound):
    stream = Stream(0, "a")
    with pytest.raises(UserError, match="has to be above 0"):
        stream.normal(2, 3, bound)
    assert stream.position == 0


def test_whole_numbers_are_uniform_and_below_high():
    values = Stream(2, "whole").integers(70_000, 7)
    counts = torch.bincount(values, minlength=7).double()
    assert len(counts) == 7
    spread = math.sqrt(70_000 * (1 / 7) * (6 / 7))
    assert (counts - 10_000).abs().max() < 5 * spread


@pytest.mark.parametrize(("word", "edge"), [(0, 0.0), (2**64 - 1, 1.0)])
def test_the_ends_of_the_interval_are_never_reached(monkeypatch, word, edge):
    class Constant:
        def __init__(self, key):
            pass

        def advance(self, steps):
            pass

        def random_raw(self, count):
            return np.full(count, word, np.uint64)

    monkeypatch.setattr(np.random, "Philox", Constant)
    uniform = Stream(0, "edge").uniform(1, 4)
    assert (uniform > 0).all()
    assert (uniform < 1).all()
    assert (uniform - edge).abs().max() < 1e-15
    assert torch.isfinite(Stream(0, "edge").normal(1, 4)).all()
    assert Stream(0, "edge").integers(1, 7).item() == round(edge * 6)


def test_the_state_names_the_next_row():
    stream = Stream(9, "state")
    stream.uniform(5, 3)
    resumed = Stream(**stream.state())
    assert resumed == stream
    assert torch.equal(resumed.normal(4, 3), stream.normal(4, 3))


def test_global_random_state_plays_no_part():
    torch.manual_seed(1)
    np.random.seed(1)
    first = Stream(0, "a").normal(3, 3)
    torch.manual_seed(2)
    np.random.seed(2)
    assert torch.equal(Stream(0, "a").normal(3, 3), first)
    state = torch.random.get_rng_state()
    Stream(0, "a").normal(3, 3)
    assert torch.equal(torch.random.get_rng_state(), state)
