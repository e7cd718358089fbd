"""Trying out a generator of someone else's before long work begins: everything the rest of the toolkit relies on."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from generators.own.wrapper import OwnGenerator
from generators.protocol import Generator, Latents, image_shape, render_twins
from toolkit.errors import UserError
from toolkit.streams import Stream

_SLACK = 0.1  # by which images may leave [-1, 1]: five per cent of its width
_FLAT = 0.02
_DRIFT = 1e-3  # between renderings of one latent: sums in another order move fp32 images by some 1e-5
_MORE = 16  # latents looked at before values are taken for [0, 1]
_SELF = Path(__file__).parent
_TORCH = Path(torch.__file__).parent
T = TypeVar("T")


def checked(candidate: Any, what: str) -> Generator:
    """Return `candidate`, called `what` in errors, on the CPU, as a generator that keeps the protocol.

    Six images are rendered, one of them with gradients. UserError in one line for what is wrong: members, latents
    that are not named by their stream, images of another shape or range, not finite or dependent on the rest of their
    batch, gradients that do not reach the latents, and errors in its own code, which stay as the cause.
    """
    generator = _with_members(candidate, what)
    generator = _with_members(attempt(lambda: generator.to(torch.device("cpu")), f"to() of {what}"), f"to() of {what}")
    latents = _checked_latents(generator, what)
    images = _rendered(generator, latents[:2], what)
    _check_images(images, generator, what)
    _check_range(images, generator, what)
    _check_batches(images, generator, latents[:2], what)
    _check_gradient(generator, latents[1:2], what)
    return generator


def attempt(action: Callable[[], T], what: str) -> T:
    """Return what `action`, in which someone else's code runs, returns.

    UserError with the type, message and place of what it raises; the original stays as its cause.
    """
    try:
        return action()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{what} failed with {type(error).__name__}: {_message(error)}{_place(error)}") from error


def _message(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no message"]
    # TorchScript begins with its own trace and ends with what happened.
    line = lines[-1] if "TorchScript" in lines[0] else " ".join(lines[:3])
    return line[:300]


def _place(error: Exception) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_file()]
    frames = [frame for frame in frames if not {_SELF, _TORCH} & set(Path(frame.filename).parents)]
    theirs = [frame for frame in frames if "site-packages" not in Path(frame.filename).parts] or frames
    return f" ({theirs[-1].filename}:{theirs[-1].lineno})" if theirs else ""


def _with_members(candidate: Any, what: str) -> Generator:
    if isinstance(candidate, nn.Module) and not isinstance(candidate, Generator):
        raise UserError(
            f"{what} returned a torch module ({type(candidate).__name__}); wrap it: generators.own.OwnGenerator("
            "network, latent_dim=..., image_size=...)"
        )
    named = {"name": str, "latent_dim": int, "image_size": int}
    wrong = [f"{name} ({kind.__name__})" for name, kind in named.items() if not _is(candidate, name, kind)]
    wrong += [f"{name}()" for name in ("sample", "to", "__call__") if not callable(getattr(candidate, name, None))]
    if wrong or isinstance(candidate, type):
        missing = f" without {', '.join(wrong)}" if wrong else ""
        raise UserError(
            f"{what} returned {_described(candidate)}{missing}; return an OwnGenerator, or an object with the members "
            "of generators.protocol.Generator"
        )
    return candidate


def _is(candidate: Any, name: str, kind: type) -> bool:
    value = getattr(candidate, name, None)
    if isinstance(value, int):
        return kind is int and not isinstance(value, bool) and value > 0
    return isinstance(value, kind) and value != ""


def _described(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor {list(value.shape)}"
    return f"the class {value.__name__} itself" if isinstance(value, type) else type(value).__name__


def _checked_latents(generator: Generator, what: str) -> Latents:
    """Return five latents, after checking that they are the stream's and keep their classes when shifted."""
    where = f"sample() of {what}"

    def draw(count: int, rng: Stream) -> Latents:
        return _fitting(attempt(lambda: generator.sample(count, rng, None), where), count, generator, what)

    latents, again, rng = draw(5, Stream(0, "check")), draw(5, Stream(0, "check")), Stream(0, "check")
    if not _same(latents, again):
        raise UserError(f"{where} gives other latents from an equal stream; draw every number from the stream alone")
    if not _same(latents, Latents.cat([draw(3, rng), draw(2, rng)])):
        raise UserError(
            f"{where} gives other latents 0 to 4 as 3 and 2 than as 5; draw one row a latent from the stream "
            "(rng.normal(count, latent_dim)), and classes from a stream of their own"
        )
    if not _same(latents, latents.shifted(torch.zeros(generator.latent_dim))):
        raise UserError(f"latents of {what} lose their classes when shifted; return generators.protocol.Latents(z, y)")
    return latents


def _fitting(latents: Any, count: int, generator: Generator, what: str) -> Latents:
    if not isinstance(latents, Latents):
        raise UserError(
            f"sample() of {what} returned {_described(latents)}; return generators.protocol.Latents(z), or (z, y)"
        )
    z, y = latents.z, latents.y
    fits = z.shape == (count, generator.latent_dim) and z.dtype == torch.float32 and z.device.type == "cpu"
    if not fits or not bool(torch.isfinite(z).all()):
        raise UserError(
            f"sample({count}) of {what} gave z {list(z.shape)} {z.dtype} on {z.device.type}, but finite "
            f"[{count}, {generator.latent_dim}] torch.float32 on cpu are needed"
        )
    if y is not None and (y.shape != (count,) or y.dtype != torch.int64 or y.device.type != "cpu"):
        raise UserError(
            f"sample({count}) of {what} gave classes {list(y.shape)} {y.dtype} on {y.device.type}, but [{count}] "
            "torch.int64 on cpu are needed"
        )
    return latents


def _same(one: Latents, other: Latents) -> bool:
    if one.y is None or other.y is None:
        return one.y is other.y and torch.equal(one.z, other.z)
    return torch.equal(one.z, other.z) and torch.equal(one.y, other.y)


def _rendered(generator: Generator, latents: Latents, what: str) -> torch.Tensor:
    shown = f"rendering latents {list(latents.z.shape)} of {what}"
    with torch.no_grad():
        return attempt(lambda: generator(latents), shown)


def _check_images(images: Any, generator: Generator, what: str) -> None:
    height, width = image_shape(generator)
    if not isinstance(images, torch.Tensor) or images.shape != (2, 3, height, width):
        stated = height if height == width else (height, width)
        raise UserError(
            f"{what} renders two latents as {_described(images)}, but image_size {stated} means "
            f"[2, 3, {height}, {width}]; set image_size, or return colour channels first"
        )
    if images.dtype != torch.float32:
        raise UserError(f"{what} renders {images.dtype}, but torch.float32 is needed; return images.float()")
    if not bool(torch.isfinite(images).all()):
        raise UserError(f"{what} renders NaN or infinite values; check that its weights are loaded whole")


def _check_range(images: torch.Tensor, generator: Generator, what: str) -> None:
    low, high = generator.value_range if isinstance(generator, OwnGenerator) else (-1.0, 1.0)
    least, most = float(images.min()), float(images.max())
    span = " to ".join(f"{low + (value + 1) / 2 * (high - low):.3g}" for value in (least, most))
    stated = isinstance(generator, OwnGenerator) and generator.states_range
    # Where (-1, 1) was stated, it may leave it, as StyleGAN2 does: pixels are clamped where pictures are made.
    bounded = not stated or (low, high) != (-1.0, 1.0)
    if bounded and (least < -1 - _SLACK or most > 1 + _SLACK):
        raise UserError(f"{what} renders values {span}, beyond ({low:g}, {high:g}); {_remedy(generator)}")
    if most - least < _FLAT:
        raise UserError(
            f"{what} renders values {span} only, flat in ({low:g}, {high:g}); {_remedy(generator)}, and check that "
            "its weights are loaded"
        )
    if least >= 0 and not stated:
        more = _rendered(generator, generator.sample(_MORE, Stream(0, "check-range"), None), what)
        if float(more.min()) >= 0:
            raise UserError(
                f"{what} renders values {span}, nothing below 0: that looks like [0, 1], not [-1, 1]; "
                + (
                    "say value_range=(0, 1), or (-1, 1) if that is right"
                    if isinstance(generator, OwnGenerator)
                    else "return images * 2 - 1"
                )
            )


def _remedy(generator: Generator) -> str:
    if isinstance(generator, OwnGenerator):
        return "say which range it has, such as value_range=(0, 1), or (-1, 1) if it has no bound"
    return "return images in [-1, 1]"


def _check_batches(images: torch.Tensor, generator: Generator, latents: Latents, what: str) -> None:
    """Check that the second of two images stays itself beside others: its own twins, shifted by nothing."""
    still = torch.zeros(generator.latent_dim)
    with torch.no_grad():
        twins = attempt(
            lambda: torch.cat(render_twins(generator, latents[1:], still, still)), f"rendering three latents of {what}"
        )
    if _apart(twins, images[1:]) <= _DRIFT:
        return
    if _apart(_rendered(generator, latents, what), images) > _DRIFT:
        raise UserError(
            f"{what} renders the same latents differently at every call; let it draw no noise or classes while "
            "rendering (network.eval(), fixed noise, classes in Latents.y)"
        )
    raise UserError(
        f"an image of {what} depends on what else is in its batch; put batch norm into evaluation mode (network.eval())"
    )


def _apart(images: torch.Tensor, others: torch.Tensor) -> float:
    return float((images - others).abs().max()) if images.shape[1:] == others.shape[1:] else torch.inf


def _check_gradient(generator: Generator, latents: Latents, what: str) -> None:
    z = latents.z.clone().requires_grad_()
    with torch.enable_grad():
        images = attempt(lambda: generator(Latents(z, latents.y)), f"rendering one latent of {what}")
        # Uneven weights: the sum of a normalised image has no gradient.
        weights = torch.linspace(0.5, 1.5, images.numel()).view_as(images)
        where = f"the gradient of {what}"
        (gradient,) = (
            attempt(lambda: torch.autograd.grad((images * weights).sum(), z, allow_unused=True), where)
            if images.requires_grad
            else (None,)
        )
    if gradient is None or not bool(gradient.any()):
        raise UserError(
            f"no gradient reaches the latents of {what}, which discovery needs; leave torch.no_grad, detach, numpy and "
            "rounding out of its rendering"
        )
    if not bool(torch.isfinite(gradient).all()):
        raise UserError(f"the gradient of {what} at its latents is not finite; check its weights and its last layer")
