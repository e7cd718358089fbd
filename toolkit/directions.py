"""The direction set: the one value in which discovery and segmentation meet, in memory or as a file."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from toolkit.command_line import command
from toolkit.errors import UserError, named
from toolkit.files.artefacts import load_artefact, save_artefact
from toolkit.moves import AnyShift, Curve
from toolkit.provenance import GeneratorSource
from toolkit.shifts import SHORTEST, Shift, at_layers, finite_length, layers_text, require_layers
from toolkit.untrusted.direction_card import require_described
from toolkit.untrusted.text import whole_number
from toolkit.warps import Warps

KIND = "direction set"


def direction_file(path: Path) -> Path:
    """Return the direction set's file for a run folder, or the file itself."""
    return Path(path) / "directions.safetensors" if Path(path).is_dir() else Path(path)


@dataclass(frozen=True)
class Choice:
    """The direction chosen for segmentation: its index, the sign that darkens the background, the shift length.

    `opposite` is the index of the direction towards dark, for the mask rule light-dark, where it is not the same one
    backwards; `mask_rule` is the rule by which its masks were found to be best; `max_area` is the share of the picture
    below which masks of things as large as those of the generator stay.
    """

    index: int
    sign: int
    alpha: float
    opposite: int | None = None
    mask_rule: str | None = None
    max_area: float | None = None


@dataclass(frozen=True)
class DirectionSet:
    """K directions of one generator's latent space.

    vectors (K, D) float32 of unit length; names, one a direction; `scores` holds named columns of K numbers;
    `choice` is what `toolkit pick` chose, or None; `card` says how the set was made; `warps`, K or None, are what walks
    follow where they are curved, `vectors` then their ways from the origin; `layers` (K, L) bool says which of a
    generator's L layers each direction moves, None where each moves all of them alike.
    """

    vectors: torch.Tensor
    generator: str
    method: str
    names: tuple[str, ...] = ()
    scores: dict[str, list[float]] = field(default_factory=dict)
    choice: Choice | None = None
    card: dict[str, Any] = field(default_factory=dict)
    warps: Warps | None = None
    layers: torch.Tensor | None = None

    def __post_init__(self) -> None:
        if not self.vectors.is_floating_point():
            raise UserError(f"directions are {self.vectors.dtype} numbers; floating-point numbers are needed")
        vectors = self.vectors.detach().float().cpu()
        lengths = vectors.norm(dim=-1, keepdim=True)
        if vectors.dim() != 2 or not len(vectors) or not bool((torch.isfinite(lengths) & (lengths > 0)).all()):
            raise UserError(f"directions have shape {list(vectors.shape)}; K finite vectors of length > 0 are needed")
        # Unit vectors are left as they are, so that a set read from its file equals the one written, bit for bit.
        object.__setattr__(self, "vectors", vectors / torch.where((lengths - 1).abs() < 1e-6, 1.0, lengths))
        names = self.names or tuple(f"direction_{i}" for i in range(len(vectors)))
        if len(names) != len(vectors) or len(set(names)) != len(names):
            twice = next((name for name in names if list(names).count(name) > 1), None)
            what = f"{len(names)} names" if twice is None else f"the name {twice!r} twice"
            raise UserError(f"{what} for {len(vectors)} directions; each direction needs a name of its own")
        object.__setattr__(self, "names", tuple(names))
        chosen = [] if self.choice is None else [self.choice.index, self.choice.opposite or 0]
        for index in chosen:
            if not 0 <= index < len(vectors):
                raise UserError(f"direction {index} is chosen, but there are {len(vectors)}; pick again")
        if self.warps is not None and self.warps.centres[:, 0].shape != vectors.shape:
            raise UserError(f"warps {list(self.warps.centres.shape)} are not those of directions {list(vectors.shape)}")
        if self.layers is not None:
            object.__setattr__(self, "layers", require_layers(self.layers, len(vectors)))

    def __len__(self) -> int:
        return len(self.vectors)

    def __repr__(self) -> str:
        chosen = ""
        if self.choice is not None:
            signed = f"{self.choice.sign * self.choice.alpha:+g}"
            rule = f", mask rule {self.choice.mask_rule}" if self.choice.mask_rule else ""
            chosen = f"; chosen: {self.names[self.choice.index]} {signed}{self.place_of(self.choice.index)}{rule}"
        return f"<DirectionSet: {len(self)} directions of {self.generator} by {self.method}{chosen}>"

    @property
    def source(self) -> GeneratorSource:
        """Return what the card says of the generator that the directions were found on."""
        return GeneratorSource.of(self.card)

    @property
    def origin(self) -> GeneratorSource:
        """Return the same, and by the set's own name of its generator where the card has none."""
        return replace(self.source, generator=self.source.generator or self.generator)

    @property
    def generator_digest(self) -> str | None:
        """Return the digest of the generator's file that was recorded, or None."""
        return self.source.generator_digest

    def index_of(self, key: str | int) -> int:
        """Return the index of a direction given by number or name; UserError naming what there is."""
        text = str(key)
        if text in self.names:
            return self.names.index(text)
        number = whole_number(text)
        if number is not None and number < len(self):
            return number
        shown = ", ".join(self.names[:6]) + (" ..." if len(self) > 6 else "")
        raise UserError(f"no direction {text!r}; there are {len(self)}: 0 to {len(self) - 1}, or by name {shown}")

    @property
    def units(self) -> torch.Tensor:
        """Return the shifts of length 1 along all directions: (K, D), or by layer (K, 1, L, D)."""
        return self.vectors if self.layers is None else at_layers(self.vectors, self.layers)[:, None]

    def shift(self, index: int, alpha: float) -> AnyShift:
        """Return the latent shift (D,), `alpha` long, along direction `index`; by layer (1, L, D), 0 in all others.

        Along a curved direction it is a move.
        """
        layers = None if self.layers is None else self.layers[index]
        if self.warps is not None:
            return Curve(alpha, layers, self.warps[index])
        shift = self.vectors[index] * alpha
        return shift if layers is None else at_layers(shift, layers)[None]

    @property
    def is_curved(self) -> bool:
        """Return whether walks along the directions are curved (see toolkit.warps)."""
        return self.warps is not None

    def moving(self, layers: torch.Tensor | None, index: int | None = None) -> "DirectionSet":
        """Return the set whose directions, or the one of `index`, move `layers` (L,) alone, or all (None)."""
        if index is None:
            return replace(self, layers=None if layers is None else layers.expand(len(self), -1))
        before = layers if self.layers is None else self.layers
        if before is None:
            return self
        moved = torch.ones(len(self), before.shape[-1], dtype=torch.bool) if self.layers is None else before.clone()
        moved[index] = True if layers is None else layers
        return replace(self, layers=None if moved.all() else moved)

    def place_of(self, index: int) -> str:
        """Return words on the layers that a direction moves, such as ` at layers 0-3,7`; none where it moves all."""
        return "" if self.layers is None else f" at layers {layers_text(self.layers[index])}"

    def is_as(self, other: "DirectionSet") -> bool:
        """Return whether both sets hold the same directions, moving the same layers."""
        if self.layers is None or other.layers is None:
            same = self.layers is other.layers
        else:
            same = torch.equal(self.layers, other.layers)
        return same and torch.equal(self.vectors, other.vectors) and self.is_curved == other.is_curved

    def chosen(self) -> Choice:
        """Return the choice; UserError before `toolkit pick` ran."""
        if self.choice is None:
            raise UserError(
                f"no direction of this set is chosen; run {command('pick')} on it, or give {named('direction')} and "
                f"{named('alpha')}"
            )
        return self.choice

    def chosen_shift(self) -> AnyShift:
        """Return the shift along the chosen direction, sign and length; UserError before `toolkit pick` ran."""
        choice = self.chosen()
        return self.shift(choice.index, choice.sign * choice.alpha)

    def opposite_shift(self, index: int, alpha: float) -> AnyShift:
        """Return the shift against the one of `alpha` along `index`: the chosen opposite's, or that backwards."""
        choice = self.choice
        if choice is None or choice.opposite is None or (index, alpha > 0) != (choice.index, choice.sign > 0):
            return self.shift(index, -alpha)
        return self.shift(choice.opposite, abs(alpha))

    def renamed(self, labels: dict[str, int]) -> "DirectionSet":
        """Return the set with `labels` (name -> index) in place of the old names."""
        names = list(self.names)
        for name, index in labels.items():
            if not 0 <= index < len(self):
                raise UserError(f"label {name!r} is for direction {index}, but there are {len(self)}")
            names[index] = name
        return replace(self, names=tuple(names))

    def save(self, path: Path) -> None:
        """Write the set as one artefact."""
        choice = None if self.choice is None else vars(self.choice)
        card = {
            **self.card,
            "generator": self.generator,
            "method": self.method,
            "names": list(self.names),
            "scores": self.scores,
            "choice": choice,
        }
        warps = {} if self.warps is None else self.warps.tensors()
        layers = {} if self.layers is None else {"layers": self.layers}
        save_artefact(path, KIND, {"vectors": self.vectors, **warps, **layers}, card)

    @classmethod
    def load(cls, path: Path) -> "DirectionSet":
        """Return the set in an artefact, or in a run folder's `directions.safetensors`; UserError if it is neither."""
        path = direction_file(path)
        _require_own(path)
        tensors, card = load_artefact(path, KIND)
        try:
            vectors, choice = tensors["vectors"], card.pop("choice")
            made = [card.pop(key) for key in ("generator", "method", "names", "scores")]
            require_described(made, len(vectors) if vectors.dim() else 0, card)
            generator, method, names, scores = made
            picked = None if choice is None else _require_choice(Choice(**choice))
            further = Warps.of(tensors), tensors.get("layers")
            return cls(vectors, generator, method, tuple(names), scores, picked, card, *further)
        except (KeyError, TypeError) as error:
            raise UserError(f"{path} lacks parts of a direction set ({error}); discover again") from error

    def resolve(self, direction: str | int | None = None, alpha: float | None = None) -> Shift:
        """Return the shift by signed `alpha` along a direction, by number or name; else along the chosen one.

        The chosen one has a length of its own, where none is passed. UserError for a direction without a length, an
        unknown direction, and where nothing is named nor chosen.
        """
        if alpha is not None:
            finite_length(alpha)
        if direction is None:
            choice = self.chosen()
            return self._shift(choice.index, choice.sign * (choice.alpha if alpha is None else alpha))
        if alpha is None:
            raise UserError(
                f"{named('direction')} needs the shift length too; give {named('alpha')}, negative for the other way"
            )
        return self._shift(self.index_of(direction), alpha)

    def _shift(self, index: int, alpha: float) -> Shift:
        choice = self.choice
        rule = choice.mask_rule if choice is not None and choice.index == index else None
        bound = None if choice is None else choice.max_area  # of the things, whatever direction marks them
        opposite = self.opposite_shift(index, alpha)
        return Shift(index, self.names[index], alpha, self.shift(index, alpha), opposite, rule, bound)

    def require_dim(self, latent_dim: int, generator: str, num_layers: int | None = None) -> None:
        """Raise UserError when the set belongs to a latent space of another size, or moves layers that are not there.

        `num_layers` of the generator is None where it takes one latent for all of itself.
        """
        if self.vectors.shape[1] != latent_dim:
            raise UserError(
                f"directions of {self.generator} have {self.vectors.shape[1]} numbers, but the latents of {generator} "
                f"have {latent_dim}; use the generator they were found on"
            )
        if self.layers is not None and self.layers.shape[1] != num_layers:
            there = "has none of its own" if num_layers is None else f"has {num_layers}"
            raise UserError(
                f"directions of {self.generator} move some of {self.layers.shape[1]} layers, but {generator} {there}; "
                "use the generator they were found on"
            )


def _require_choice(choice: Choice) -> Choice:
    """Return a choice read from a file; TypeError unless it can be walked along."""
    whole = type(choice.index) is int and (choice.opposite is None or type(choice.opposite) is int)
    length = type(choice.alpha) in (int, float) and SHORTEST <= choice.alpha < float("inf")
    named = isinstance(choice.mask_rule, str | None)
    bounded = choice.max_area is None or (type(choice.max_area) in (int, float) and 0 < choice.max_area <= 1)
    if (
        not whole
        or not length
        or not named
        or not bounded
        or type(choice.sign) is not int
        or choice.sign not in (-1, 1)
    ):
        raise TypeError("its choice cannot be read")
    return choice


def _require_own(path: Path) -> None:
    """Raise UserError for what is published: it can be opened, but a command that came here would write into it."""
    if path.suffix.lower() in (".pth", ".pt", ".npz", ".npy"):
        copy = command("convert", path, "--out", path.with_suffix(".safetensors").name)
        raise UserError(f"{path} is a published file and stays as it is; make a direction set of it: {copy}")
    if not path.exists() and (path.parent / "args.json").exists():
        copy = command("pick", path.parent, "--out", "FOLDER")
        raise UserError(f"{path.parent} is a published folder and stays as it is; make a direction set of it: {copy}")
