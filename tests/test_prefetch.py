"""Batches rendered in advance: those of the plain synthesizer, whatever happens to the thread."""

import dataclasses
import threading

import pytest
import torch
from seg_toy import DiscGenerator, contrast_shift

from segmentation.synthesis.prefetch import Prefetched
from segmentation.synthesis.synthesizer import MaskSynthesizer, PriorSource
from segmentation.unet.settings import SegmentationSettings
from toolkit.errors import UserError

COUNT = 4
SETTINGS = SegmentationSettings(batch=COUNT, max_area=0.15, seed=3)
SECONDS = 30  # after which a wait that should be short counts as a hang


class GatedGenerator(DiscGenerator):
    """Renders as often as `allow` lets it, and says when it has begun."""

    def __init__(self):
        super().__init__()
        self.begun, self.allowed = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, latents):
        self.begun.release()
        assert self.allowed.acquire(timeout=SECONDS)
        return super().__call__(latents)

    def allow(self, renderings):
        self.allowed.release(renderings)

    def wait_for(self, renderings):
        for _ in range(renderings):
            assert self.begun.acquire(timeout=SECONDS)


def plain(generator=None, **changes):
    generator = generator or DiscGenerator()
    settings = dataclasses.replace(SETTINGS, **changes)
    return MaskSynthesizer(generator, contrast_shift(), settings, PriorSource(generator))


def unfiltered(generator):
    """Return a synthesizer that renders exactly once a batch."""
    return plain(generator, area_filter=False, histogram_filter=False)


def same(one, other):
    return torch.equal(one.images, other.images) and torch.equal(one.masks, other.masks)


def same_state(one, other):
    surplus, others = one["surplus"], other["surplus"]
    assert {**one, "surplus": None} == {**other, "surplus": None}
    assert (surplus is None) == (others is None)
    assert surplus is None or all(torch.equal(surplus[name], others[name]) for name in surplus)
    return True


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@pytest.mark.parametrize("ahead", [1, 3])
def test_batches_states_and_figures_are_those_of_the_plain_synthesizer_in_the_same_order(ahead):
    expected = plain()
    with Prefetched(plain(), COUNT, ahead) as prefetched:
        surplus = 0
        for _ in range(12):
            assert same(prefetched.batch(), expected.batch(COUNT))
            assert same_state(prefetched.state_dict(), expected.state_dict())
            assert prefetched.acceptance == expected.acceptance
            surplus += expected.state_dict()["surplus"] is not None
        assert 0 < surplus < 12


def test_a_run_goes_on_from_any_saved_state_with_or_without_a_thread():
    unbroken = plain()
    expected = [unbroken.batch(COUNT) for _ in range(6)]
    with Prefetched(plain(), COUNT) as first:
        assert all(same(first.batch(), batch) for batch in expected[:2])
        state = first.state_dict()
    resumed = plain()
    resumed.load_state_dict(state)
    assert all(same(resumed.batch(COUNT), batch) for batch in expected[2:4])
    with Prefetched(plain(), COUNT) as second:
        second.load_state_dict(resumed.state_dict())
        assert all(same(second.batch(), batch) for batch in expected[4:])


def test_loading_a_state_forgets_what_was_rendered_in_advance():
    with Prefetched(plain(), COUNT, ahead=2) as prefetched:
        start = prefetched.state_dict()
        first = [prefetched.batch() for _ in range(3)]
        prefetched.load_state_dict(start)
        assert all(same(prefetched.batch(), batch) for batch in first)


def test_after_closing_the_synthesizer_and_this_itself_go_on_where_the_taken_batches_end():
    expected = plain()
    synthesizer = plain()
    prefetched = Prefetched(synthesizer, COUNT, ahead=2)
    assert same(prefetched.batch(), expected.batch(COUNT))
    prefetched.close()
    prefetched.close()
    assert same(synthesizer.batch(COUNT), expected.batch(COUNT))
    assert same(prefetched.batch(), expected.batch(COUNT))
    prefetched.close()


@pytest.mark.parametrize("ahead", [1, 3])
def test_never_more_batches_than_allowed_are_in_the_making_or_waiting(ahead):
    generator = GatedGenerator()
    with Prefetched(unfiltered(generator), COUNT, ahead) as prefetched:
        generator.allow(100)
        prefetched.batch()
        generator.wait_for(1 + ahead)
        assert not generator.begun.acquire(timeout=0.2)
        prefetched.batch()
        generator.wait_for(1)
        assert not generator.begun.acquire(timeout=0.2)


def test_the_next_batch_is_begun_before_it_is_asked_for():
    generator = GatedGenerator()
    with Prefetched(unfiltered(generator), COUNT) as prefetched:
        generator.allow(1)
        prefetched.batch()
        generator.wait_for(2)
        generator.allow(100)


def test_an_error_comes_in_place_of_its_batch_and_again_when_asked_again():
    with Prefetched(plain(max_area=0.001, max_attempts=3), COUNT) as prefetched:
        for _ in range(2):
            with pytest.raises(UserError, match="only 0 of 4 samples after 3 attempts"):
                prefetched.batch()
        assert prefetched.acceptance.drawn == 0


def test_batches_before_a_fault_are_given_and_the_state_stays_behind_them():
    class Breaking(DiscGenerator):
        def __call__(self, latents):
            if len(self.batches) == 2:
                raise RuntimeError("out of memory")
            return super().__call__(latents)

    expected = unfiltered(DiscGenerator())
    with Prefetched(unfiltered(Breaking()), COUNT, ahead=3) as prefetched:
        for _ in range(2):
            assert same(prefetched.batch(), expected.batch(COUNT))
        with pytest.raises(RuntimeError, match="out of memory"):
            prefetched.batch()
        assert same_state(prefetched.state_dict(), expected.state_dict())


def test_closing_while_busy_waits_for_one_rendering_only():
    generator = GatedGenerator()
    prefetched = Prefetched(unfiltered(generator), COUNT, ahead=3)
    generator.allow(1)
    prefetched.batch()
    generator.wait_for(2)
    close_and_allow(prefetched, generator)
    assert len(generator.batches) == 2


def test_a_hopeless_batch_is_given_up_between_two_renderings():
    generator = GatedGenerator()
    prefetched = Prefetched(plain(generator, max_area=1.0, min_area=0.01, max_attempts=10**6), COUNT)
    generator.allow(1)
    prefetched.batch()
    generator.radius = 0  # from now on every mask is empty
    generator.allow(9)
    generator.wait_for(11)
    close_and_allow(prefetched, generator)
    assert len(generator.batches) == 11


def close_and_allow(prefetched, generator):
    """Close while a rendering is at work that ends only after the thread was told to stop."""
    told = prefetched._rendering._stop
    closing = threading.Thread(target=prefetched.close)
    closing.start()
    assert told.wait(SECONDS)
    generator.allow(10**6)
    closing.join(SECONDS)
    assert not closing.is_alive()


def test_an_error_of_the_main_thread_stops_the_other():
    def break_down(prefetched):
        with prefetched:
            prefetched.batch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_down(Prefetched(plain(), COUNT))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def test_ctrl_c_while_waiting_loses_no_sample(monkeypatch):
    expected = plain()
    with Prefetched(plain(), COUNT) as prefetched:
        assert same(prefetched.batch(), expected.batch(COUNT))
        monkeypatch.setattr("concurrent.futures.Future.result", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            prefetched.batch()
        monkeypatch.undo()
        assert same(prefetched.batch(), expected.batch(COUNT))


def _interrupted(future):
    raise KeyboardInterrupt


def test_dropped_without_closing_leaves_no_thread():
    prefetched = Prefetched(plain(), COUNT)
    prefetched.batch()
    (worker,) = [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]
    del prefetched
    worker.join(SECONDS)
    assert not worker.is_alive()


def test_the_thread_computes_with_as_many_cores_as_the_caller(monkeypatch):
    class Counting(DiscGenerator):
        def __call__(self, latents):
            self.threads = torch.get_num_threads()
            return super().__call__(latents)

    generator, before = Counting(), torch.get_num_threads()
    try:
        torch.set_num_threads(before + 1)
        with Prefetched(unfiltered(generator), COUNT) as prefetched:
            prefetched.batch()
        assert generator.threads == before + 1
    finally:
        torch.set_num_threads(before)


def test_batches_carry_no_gradients_whatever_the_mode_of_the_caller():
    class Learnt(DiscGenerator):
        weight = torch.ones((), requires_grad=True)

        def __call__(self, latents):
            return self.weight * super().__call__(latents)

    for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        with mode(), Prefetched(unfiltered(Learnt()), COUNT) as prefetched:
            assert not prefetched.batch().images.requires_grad
