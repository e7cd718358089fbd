"""Class-conditional frozen networks as generators."""

from collections.abc import Sequence

import torch

from generators.frozen import FrozenGenerator, FrozenNetwork
from generators.protocol import Latents
from toolkit.errors import UserError
from toolkit.streams import Stream


class ConditionalGenerator(FrozenGenerator):
    """A network of N(0, I) latents and `num_classes` classes (see generators.protocol), drawing from `classes`.

    Without `classes` it draws from all. UserError when a class is not one of the network's.
    """

    def __init__(self, network: FrozenNetwork, name: str, num_classes: int, classes: Sequence[int] = ()) -> None:
        wrong = [index for index in classes if not 0 <= index < num_classes]
        if wrong:
            raise UserError(f"class {wrong[0]} is unknown; this generator has classes 0 to {num_classes - 1}")
        super().__init__(network, name)
        self.num_classes = num_classes
        self.classes = tuple(classes) or tuple(range(num_classes))

    def sample(self, count: int, rng: Stream, truncation: float | None = None) -> Latents:
        """Return `count` latents from N(0, I), restricted to +-`truncation` if given, each with a drawn class."""
        classes = self.drawn_classes(count, rng)
        return Latents(rng.normal(count, self.latent_dim, truncation), classes)

    def drawn_classes(self, count: int, rng: Stream) -> torch.Tensor:
        """Return the classes (count,) of the stream's next rows, which it leaves where it is."""
        return torch.tensor(self.classes)[rng.beside("class").integers(count, len(self.classes))]

    def __call__(self, latents: Latents) -> torch.Tensor:
        """Return images (B, 3, S, S) in [-1, 1]; gradients reach the latents.

        UserError for latents without classes.
        """
        if latents.y is None:
            raise UserError(
                f"these latents have no classes, but {self.name} needs one a latent; draw them from it with sample"
            )
        return self.network(latents.z, latents.y)
