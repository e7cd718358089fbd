"""Reading the directions in folders of the original: args.json, models/deformator_N.pt, annotations.

The original (GANLatentDiscovery, of Voynov & Babenko 2020) writes one a run and published five. It stands on the
generator's own shift length; here sizes come from the tensors, so that its runs with fewer directions than latent
numbers open too. The shift predictors beside the deformators hold no directions and are not read.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from discovery.annotations import read_annotations
from discovery.methods.deformator.deformators import Deformator, make_deformator
from discovery.methods.deformator.kinds import DEFORMATORS
from generators.spec import join_spec
from toolkit.directions import DirectionSet
from toolkit.errors import UserError
from toolkit.files.artefacts import Tensors, load_state_file, match_state
from toolkit.files.writing import read_json
from toolkit.provenance import GeneratorSource
from toolkit.untrusted.text import is_there

ARGS = "args.json"
ANNOTATIONS = "human_annotation.txt"
OWN = "toolkit"  # the entry of args.json with what only this toolkit reads
GAN_KEYS = ("gan_type", "gan_weights", "gan_resolution", "target_class", "w_shift")
# gan_type -> latent numbers, and where the published archives unpack its weights
GANS = {
    "BigGAN": (120, "generators/BigGAN/G_ema.pth"),
    "ProgGAN": (512, "generators/ProgGAN/100_celeb_hq_network-snapshot-010403.pth"),
    "SN_MNIST": (128, "generators/SN_MNIST"),
    "SN_Anime": (128, "generators/SN_Anime"),
    "StyleGAN2": (512, "generators/StyleGAN2/stylegan2-ffhq-config-f.pt"),
}
_MOST = 8192  # directions, and numbers of a latent: those that were published have 512 at most
_SHIFT_SCALE = 6.0  # the original's default
_NUMBERED = re.compile(r"deformator_(\d+)\.pt")


@dataclass(frozen=True)
class PublishedFolder:
    """A folder of the original, its args.json ({} where there is none), and the deformator's file that is read."""

    root: Path
    args: dict[str, Any]
    deformator_file: Path

    @classmethod
    def open(cls, path: Path) -> "PublishedFolder":
        """Return the folder at `path` with its last deformator, or the one around the deformator's file `path`."""
        path = Path(path)
        if path.is_dir():
            root, file = path, _last_deformator(path)
        else:
            root, file = path.parent.parent if path.parent.name == "models" else path.parent, path
        args = read_json(root / ARGS) if (root / ARGS).exists() else {}
        if not isinstance(args, dict):
            raise UserError(f"{root / ARGS} holds no table of arguments; check that it is the right file")
        return cls(root, args, file)

    @property
    def gan_type(self) -> str:
        """Return the original's name of the kind of generator, "unknown" without an args.json."""
        return str(self.args.get("gan_type", "unknown"))

    @property
    def shift_scale(self) -> float:
        """Return the longest shift of the training, in latent units."""
        scale = self.args.get("shift_scale", _SHIFT_SCALE)
        if not isinstance(scale, int | float) or not 0 < scale < float("inf"):
            raise self._wrong("shift_scale", scale, "a number above 0")
        return float(scale)

    def count(self, *keys: str) -> int | None:
        """Return the whole number above 0 under the first of `keys` that is set, or None."""
        for key in keys:
            value = self.args.get(key)
            if value is not None:
                if type(value) is not int or not 1 <= value <= _MOST:
                    raise self._wrong(key, value, f"a whole number from 1 to {_MOST}")
                return value
        return None

    @property
    def name(self) -> str:
        """Return the name of the generator, that of the set where `toolkit export` wrote the folder."""
        own = self.own("generator")
        if isinstance(own, str):
            return own
        if self.gan_type == "StyleGAN2":  # one network, but directions in W mean nothing in Z
            return "stylegan2" if self.space == "w" else "stylegan2-z"
        return self.gan_type

    @property
    def space(self) -> str:
        """Return the space of a StyleGAN2's training, w or z; the original's own reader shifts in W in any case."""
        return "w" if self.args.get("w_shift", True) else "z"

    def own(self, key: str) -> Any:
        """Return what `toolkit export` wrote under `key`, or None in a folder by the original."""
        own = self.args.get(OWN)
        return own.get(key) if isinstance(own, dict) else None

    def generator(self) -> tuple[Path | None, str]:
        """Return where the generator's weights are (None if not at hand), and the name they are known by."""
        named = self.args.get("gan_weights")
        name = str(named) if named else self.gan_type
        places = [self.root / name, Path(name)] if named else []
        if self.gan_type in GANS:
            known = Path(GANS[self.gan_type][1])
            # Directions mean nothing on other weights. Of an SNGAN the original takes this folder whatever is named.
            tree = known.with_name(Path(name).name) if named and known.suffix else known
            places += [above / tree for above in (*self.root.resolve().parents[:3], Path("models/pretrained"))]
        return next((place.resolve() for place in places if is_there(place)), None), name

    def source(self) -> dict[str, Any]:
        """Return what a card says of the generator; "missing" says how to name weights that are not at hand."""
        own = self.own("source")
        if isinstance(own, dict):
            return own
        options = {}
        classes = self.args.get("target_class")
        if self.gan_type == "BigGAN" and classes is not None:
            listed = classes if isinstance(classes, list) else [classes]
            if not listed or not all(isinstance(one, int) and one >= 0 for one in listed):
                raise self._wrong("target_class", classes, "a list of class numbers")
            options["classes"] = ",".join(map(str, listed))
        if self.gan_type == "StyleGAN2":
            options["space"] = self.space
        path, name = self.generator()
        if path is not None:
            return GeneratorSource(join_spec(str(path), options)).as_dict()
        return GeneratorSource(join_spec(name, options), missing=join_spec("FILE", options)).as_dict()

    def _wrong(self, key: str, value: Any, expected: str) -> UserError:
        return UserError(f"{key} in {self.root / ARGS} is {value!r}, but has to be {expected}; correct it there")


def is_published(path: Path) -> bool:
    """Return whether `path` is a folder of the original, or a deformator's file by its name."""
    path = Path(path)
    if path.is_file():
        return _NUMBERED.fullmatch(path.name) is not None
    if not path.is_dir() or (path / "directions.safetensors").exists():
        return False
    return (path / ARGS).exists() or bool(_deformators(path))


def _deformators(folder: Path) -> list[tuple[int, Path]]:
    files = [*folder.glob("models/deformator_*.pt"), *folder.glob("deformator_*.pt")]
    matches = ((_NUMBERED.fullmatch(file.name), file) for file in files)
    return [(int(match[1]), file) for match, file in matches if match is not None]


def _last_deformator(folder: Path) -> Path:
    numbered = _deformators(folder)
    if not numbered:
        raise UserError(f"{folder} holds no models/deformator_N.pt; unpack the published folder again")
    return max(numbered, key=lambda pair: pair[0])[1]


def load_directions(path: Path) -> DirectionSet:
    """Return the directions of a folder of the original, or of one deformator's file, under their annotated names.

    Bent maps (fc, proj) give their secants over the shift scale of the training. A folder that `toolkit export` wrote
    gives the generator's name and the method of the set it was made of. UserError when a part is missing, damaged, or
    not of the kind that args.json names.
    """
    folder = PublishedFolder.open(path)
    kind, deformator = _deformator(folder)
    vectors = deformator.directions(folder.shift_scale)
    method = folder.own("method")
    directions = DirectionSet(
        vectors,
        folder.name,
        method if isinstance(method, str) else f"published ({kind})",
        scores={"length": vectors.norm(dim=1).tolist()},
        card={
            "source": folder.source(),
            "published": {key: folder.args[key] for key in GAN_KEYS if key in folder.args},
            "settings": {"deformator": kind, "max_alpha": folder.shift_scale},
        },
    )
    labels = folder.root / ANNOTATIONS
    if not labels.exists():
        return directions
    try:
        return directions.renamed(read_annotations(labels))
    except UserError as error:
        raise UserError(str(error) if str(labels) in str(error) else f"{labels}: {error}; correct it there") from error


def _deformator(folder: PublishedFolder) -> tuple[str, Deformator]:
    file = folder.deformator_file
    state = load_state_file(file, "published weights")
    kind = str(folder.args.get("deformator") or _shown_kind(state, file))
    if kind not in DEFORMATORS.own:
        raise UserError(f"{folder.root / ARGS} names a deformator {kind!r}; known are {', '.join(DEFORMATORS.own)}")
    if kind == "random":
        raise UserError(f"the random deformator of {folder.root} is lost: the original never saved its matrix")
    num_directions, out_dim = _sizes(folder, kind, state)
    counted = folder.count("directions_count", "max_latent_ind")
    if counted not in (None, num_directions):
        raise UserError(
            f"{folder.root / ARGS} names {counted} directions, but {file.name} holds {num_directions}; "
            "they belong to different runs"
        )
    deformator = make_deformator(kind, num_directions, _latent_dim(folder, out_dim), out_dim=out_dim)
    if kind in ("linear", "proj"):
        state.setdefault("linear.bias", torch.zeros(out_dim))
    shapes = {name: tensor.shape for name, tensor in deformator.state_dict().items()}
    match_state(state, shapes, file, f"a published {kind} deformator")
    deformator.load_state_dict(state)
    return kind, deformator.eval()


def _shown_kind(state: Tensors, file: Path) -> str:
    """Return the kind of a deformator without args.json, where its entries show it."""
    for entry, kind in (("log_mat_half", "ortho"), ("fc1.weight", "fc")):
        if entry in state:
            return kind
    what = "a linear or a proj deformator" if "linear.weight" in state else "no kind that its entries tell"
    raise UserError(f"{file} is {what}; put the {ARGS} of its run into {file.parent}, or the folder above models/")


def _sizes(folder: PublishedFolder, kind: str, state: Tensors) -> tuple[int, int]:
    """Return how many directions the map takes, and how many numbers it gives out."""
    if kind == "id":
        latent_dim = _latent_dim(folder, None)
        return folder.count("directions_count", "max_latent_ind") or latent_dim, latent_dim
    first, last = {"fc": ("fc1.weight", "fc4.weight"), "ortho": ("log_mat_half", "log_mat_half")}.get(
        kind, ("linear.weight", "linear.weight")
    )
    for name in (first, last):
        if name not in state or state[name].dim() != 2 or not state[name].numel():
            raise UserError(
                f"{folder.deformator_file} is no {kind} deformator, as {folder.root / ARGS} calls it: it has no matrix "
                f"{name}; check that both are of one run"
            )
    return state[first].shape[1], state[last].shape[0]


def _latent_dim(folder: PublishedFolder, out_dim: int | None) -> int:
    """Return the generator's shift length, to which the map's output is padded or cut."""
    own = folder.own("latent_dim")
    if own is not None:
        return _as_length(own, folder.root / ARGS)
    if out_dim is not None and folder.count("max_latent_dim") is None:
        return out_dim  # the original then takes the generator's
    path, _ = folder.generator()
    if path is not None and (path / ARGS).is_file():  # an SNGAN's folder
        card = read_json(path / ARGS)
        if isinstance(card, dict) and "latent_dim" in card:
            return _as_length(card["latent_dim"], path / ARGS)
    known = GANS.get(folder.gan_type, (out_dim, ""))[0]
    if known is None:
        raise UserError(f"{folder.root / ARGS} names no generator whose latent numbers are known; add gan_type")
    return known


def _as_length(value: Any, source: Path) -> int:
    if type(value) is not int or not 1 <= value <= _MOST:
        raise UserError(f"latent_dim in {source} is {value!r}, but has to be a whole number from 1 to {_MOST}")
    return value
