"""Features that a generator computes on its way from latents to images."""

from typing import Any

import torch
from torch import nn

from generators.protocol import Generator, Inspectable, Latents
from toolkit.errors import UserError, named
from toolkit.pictures.pixels import resized_to

LATENTS, IMAGES = "latents", "images"
_SIDE = 32  # of the images, where they themselves are the features


class _Reached(Exception):  # noqa: N818 (no error: it ends a forward pass that has given what was wanted)
    def __init__(self, features: torch.Tensor) -> None:
        self.features = features


class Features:
    """Latents -> features (B, F): a layer's output, the latents themselves where they are mapped ones, or the images.

    Without `layer` it is the generator's `feature_layer`, or, of a generator that does not show its inside, the images
    at 32 pixels. UserError for a layer that is not there, and for latents that no network has mapped: the components
    of a normal distribution are arbitrary.
    """

    def __init__(self, generator: Generator, layer: str | None = None) -> None:
        self.generator = generator
        own, modules = IMAGES, dict[str, nn.Module]()
        if isinstance(generator, Inspectable):
            own, modules = generator.feature_layer, dict(generator.network.named_modules())
        self.layer = layer or own
        if self.layer == LATENTS and own != LATENTS:
            raise UserError(
                f"latents of {generator.name} come from a fixed distribution, which has no components of its own; "
                f"omit {named('layer')} or name a submodule"
            )
        self._module: nn.Module | None = None
        if self.layer not in (LATENTS, IMAGES):
            if self.layer not in modules or not self.layer:
                shown = ", ".join([*(name for name in modules if name.count(".") < 2 and name), IMAGES][:24])
                raise UserError(f"{generator.name} has no layer {self.layer!r}; choose one of {shown}")
            self._module = modules[self.layer]

    @torch.no_grad()
    def __call__(self, latents: Latents) -> torch.Tensor:
        """Return features (B, F) float32."""
        if self.layer == LATENTS:
            return latents.z.float()
        if self._module is None:
            images = self.generator(latents).float()
            return resized_to(images, min(_SIDE, max(images.shape[-2:]))).flatten(1)
        return self._stopped_at(self._module, latents).float().flatten(1)

    def _stopped_at(self, module: nn.Module, latents: Latents) -> torch.Tensor:
        def stop(_module: nn.Module, _inputs: Any, output: Any) -> None:
            raise _Reached(output[0] if isinstance(output, tuple) else output)

        hook = module.register_forward_hook(stop)
        try:
            self.generator(latents)
        except _Reached as reached:
            return reached.features
        finally:
            hook.remove()
        raise UserError(
            f"layer {self.layer!r} of {self.generator.name} is not used on the way to an image; name another"
        )
