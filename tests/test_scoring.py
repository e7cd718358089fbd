"""Operator scores against the original's numbers, and what the score ranks low."""

import numpy as np
import pytest
import torch
from rounding import close
from toy import ToyGenerator

from discovery.picking.scoring import ColourMaps, ScorePlan, fit_colour_maps, operator_score, score_directions
from generators.protocol import Latents
from toolkit.compute.engine import choose_engine
from toolkit.errors import UserError
from toolkit.streams import Stream

ENGINE = choose_engine("cpu", "fp32")


class ColourToy(ToyGenerator):
    """Left and right half of flat noise; latent 0 recolours each half by its own affine map, latent 1 stirs."""

    def __init__(self) -> None:
        super().__init__(latent_dim=2, image_size=16)
        self.noise = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)) - 0.5
        self.stir = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1)) - 0.5

    def __call__(self, latents: Latents) -> torch.Tensor:
        z = latents.z[:, :, None, None, None]
        side = torch.ones(16)
        side[8:] = -1
        return (self.noise + 0.2 * torch.sin(z[:, 0]) * side + torch.sin(z[:, 1]) * self.stir).clamp(-1, 1)


def test_the_original_s_run_is_reproduced(golden):
    arrays = {name: torch.from_numpy(np.asarray(array)) for name, array in golden("scoring").items()}
    generator = ToyGenerator(image_size=16)
    # The original tests on rows shifted by its index slip: i - test_steps instead of i - train_steps.
    plan = ScorePlan(arrays["train_indices"], torch.arange(4 * 35, 4 * 40).view(5, 4))
    maps = ColourMaps(arrays["init_weight"], arrays["init_bias"])
    fit = operator_score(generator, Latents(arrays["zs"]), arrays["h"], plan, maps)
    steps = len(plan.train_rows)
    close(fit.losses[:, 0], arrays["losses"], depth=steps)
    close(fit.score.item(), arrays["score"].item(), depth=steps)
    close(fit.maps.weight[0], arrays["final_weight"], depth=steps)
    close(fit.maps.bias[0], arrays["final_bias"], depth=steps, scale=1.0)
    last = ColourMaps(fit.maps.weight[0], fit.maps.bias[0])
    images, choice = last.nearest(arrays["last_img"], arrays["last_shifted"])
    close(images, arrays["last_out"], depth=steps)
    assert torch.equal(choice[:, None], arrays["last_mask"].long())


def test_directions_fitted_together_are_fitted_as_if_alone():
    before, after = torch.rand(6, 3, 50) * 2 - 1, torch.rand(3, 6, 3, 50) * 2 - 1
    plan, maps = ScorePlan.drawn(6, steps=8, batch=2, test_steps=1), ColourMaps.start()
    together = fit_colour_maps(before, after, plan, maps)
    for index in range(3):
        alone = fit_colour_maps(before, after[index : index + 1], plan, maps)
        close(together.losses[:, index], alone.losses[:, 0], depth=8)
        close(together.maps.weight[index], alone.maps.weight[0], depth=8)


def test_a_recolouring_scores_lower_than_a_stirring_and_batches_do_not_matter(monkeypatch):
    shifts = torch.tensor([[1.5, 0.0], [0.0, 1.5]])
    scores = score_directions(ColourToy(), shifts, ENGINE, num_pixels=64, num_latents=16)
    assert scores.shape == (2,)
    assert scores[0] < 0.6 * scores[1]
    monkeypatch.setattr("discovery.picking.scoring._FIT_FLOATS", 1)
    apart = score_directions(ColourToy(), shifts, ENGINE, num_pixels=64, num_latents=16)
    close(apart, scores, depth=200)  # the steps of a fit


def test_sampled_pixels_score_like_all_pixels():
    generator, shift = ColourToy(), torch.tensor([0.0, 1.5])
    latents = generator.sample(40, Stream(0, "score-latents"))
    full = operator_score(generator, latents, shift).score.item()
    sampled = score_directions(generator, shift[None], ENGINE, num_pixels=200).item()
    assert sampled == pytest.approx(full, rel=0.05)


def test_exact_colours_at_the_limits_give_finite_weights():
    ones = torch.ones(2, 3, 10)
    maps = ColourMaps(torch.eye(3).expand(2, 3, 3), torch.ones(2, 3))
    fit = fit_colour_maps(ones, ones[None], ScorePlan.drawn(2, 3, 1, 1), maps)
    assert torch.isfinite(fit.maps.weight).all()
    assert fit.score.item() == pytest.approx(0, abs=1e-6)


def test_bf16_changes_the_images_alone():
    shifts = torch.eye(2)
    plain = score_directions(ColourToy(), shifts, ENGINE, num_pixels=32, steps=10)
    # The toy has no matrix products, so its images stay the same and the fit has to as well.
    assert torch.equal(
        score_directions(ColourToy(), shifts, choose_engine("cpu", "bf16"), num_pixels=32, steps=10), plain
    )


def test_a_plan_holds_test_latents_back_and_says_when_there_are_too_few():
    plan = ScorePlan.drawn(30, steps=50, batch=4, test_steps=5)
    assert plan.train_rows.shape == (50, 4)
    assert plan.train_rows.max() < 10
    assert plan.test_rows.flatten().tolist() == list(range(10, 30))
    with pytest.raises(UserError, match="give at least 21"):
        ScorePlan.drawn(20)
    with pytest.raises(UserError, match="give at least 2"):
        score_directions(ColourToy(), torch.eye(2), ENGINE, num_latents=1)
    assert score_directions(ColourToy(), torch.eye(2), ENGINE, num_latents=2, steps=2).shape == (2,)
