"""Writing a direction set as a folder that the original (GANLatentDiscovery) and `discovery.originals.reading` read."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from discovery.annotations import write_annotations
from discovery.methods.deformator.deformators import Deformator, make_deformator
from discovery.methods.deformator.kinds import DEFORMATORS
from discovery.originals.reading import ANNOTATIONS, ARGS, GAN_KEYS, GANS, OWN
from discovery.settings import DiscoverySettings
from generators.catalogue import weights_file
from generators.spec import Options, split_spec
from toolkit.command_line import command
from toolkit.directions import DirectionSet
from toolkit.errors import Line, UserError, named
from toolkit.files.artefacts import Tensors, load_pickled
from toolkit.files.writing import replacing_folder, write_bytes, write_json
from toolkit.shifts import ALL_LAYERS

_CLASSES = 1000
_SAME = 1e-3  # by which unit vectors of one run may differ, trained on one device and read on another
_FULL_SIZE = 1024  # what the original takes for --gan_resolution
# names of generators here -> the original's kind
_KINDS = {
    r"bigbigan|biggan\d+": "BigGAN",
    r"proggan\d+": "ProgGAN",
    "sngan32": "SN_MNIST",
    "sngan64": "SN_Anime",
    "stylegan2(-z)?": "StyleGAN2",
}
_WRITTEN_OPTIONS = {"BigGAN": "classes", "StyleGAN2": "space"}  # kind -> the generator's option that args.json has too


@dataclass(frozen=True)
class Networks:
    """What is written to models/: the deformator's kind and state, the predictor's state if there is one.

    `notes` are sentences on what the original would not read as it was trained.
    """

    kind: str
    deformator: Tensors
    predictor: Tensors | None = None
    notes: tuple[str, ...] = ()


def networks_of(directions: DirectionSet, checkpoint: Path | None) -> Networks:
    """Return the networks of the `toolkit discover` run whose `checkpoint` is given, else a linear map of the vectors.

    UserError when the checkpoint is another run's, or of another step than the set, and for directions that move some
    layers alone.
    """
    require_all_layers(directions)
    settings = DiscoverySettings.up_to_date(directions.card.get("settings", {}))
    if checkpoint is None or not checkpoint.is_file() or not directions.method.startswith("discover ("):
        return Networks("linear", _linear(directions.vectors))
    state = load_pickled(checkpoint, "the checkpoint")
    try:
        deformator = make_deformator(settings["deformator"], *directions.vectors.shape)
        deformator.load_state_dict(state["deformator"])
        predictor, step, reached = dict(state["reconstructor"]), directions.card["step"], state["step"]
        if type(reached) is not int:
            raise TypeError("its step is no whole number")
        learnt = F.normalize(deformator.directions(settings["max_alpha"]))
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise UserError(
            f"{checkpoint} is not of the run that found the set beside it; move one of them away"
        ) from error
    if reached != step:
        raise UserError(
            f"{checkpoint} is at step {reached}, the set at {step}; repeat {command('discover')} to finish the run"
        )
    if not torch.allclose(learnt, directions.vectors, atol=_SAME):
        raise UserError(f"{checkpoint} holds other directions than the set beside it; move one of them away")
    kind, written, notes = _as_the_original_builds(settings["deformator"], deformator, settings["max_alpha"])
    return Networks(kind, written, predictor, notes)


def _as_the_original_builds(kind: str, deformator: Deformator, scale: float) -> tuple[str, Tensors, tuple[str, ...]]:
    """Return (kind, state, notes) of the same map, in a kind that the original has in these sizes."""
    square = deformator.num_directions == deformator.latent_dim
    known = kind in DEFORMATORS.own
    if kind in ("linear", "proj") or (square and known and kind != "random"):
        return kind, deformator.state_dict(), ()
    bent = kind == "fc" or not known
    loss = f" at the set's shift scale, since {kind} is no matrix" if bent else ", the same map"
    reason = f"has {kind} only for as many directions as latents" if known else f"has no kind {kind}"
    reason = "saves no random matrix" if kind == "random" else reason
    return "linear", _linear(deformator.directions(scale)), (f"the original {reason}: written as linear{loss}",)


def _linear(directions: torch.Tensor) -> Tensors:
    return {"linear.weight": directions.T.contiguous(), "linear.bias": torch.zeros(directions.shape[1])}


def require_all_layers(directions: DirectionSet) -> None:
    """Raise UserError for directions that move some layers alone, or are curved: the original's files say neither."""
    if directions.is_curved:
        raise UserError("walks along these directions are curved, which the original's files cannot say")
    if directions.layers is not None:
        raise UserError(
            "these directions move some layers of the generator alone, which the original's files cannot say; move all "
            f"with {command('pick', 'SET', '--layers', ALL_LAYERS, '--out', 'FOLDER')}"
        )


def gan_arguments(directions: DirectionSet, gan_type: str | None) -> tuple[dict[str, Any], list[str]]:
    """Return what args.json says of the generator, and notes on what the original would take for something else.

    Without `gan_type` the kind follows from the folder the set was read from, or from the generator's name. UserError
    for classes that are no numbers.
    """
    source = directions.source
    plain, options = split_spec(source.generator or directions.generator)
    known = directions.card.get("published", {})
    kind = gan_type or known.get("gan_type") or _kind_by_name(directions.generator)
    weights = Path(source.weights or (plain == "bigbigan" and weights_file(plain)) or plain)
    arguments = {**known, "gan_type": kind, "gan_weights": str(weights.resolve() if weights.exists() else weights)}
    dropped = ", ".join(key for key in options if key != _WRITTEN_OPTIONS.get(kind))
    notes = [f"the original has nothing like the generator's options {dropped}"] if dropped else []
    if kind in GANS and source.generator is None and not weights.exists():
        notes.append(f"the set names no weights of {plain}; write their path as gan_weights into {ARGS}")
    if kind == "BigGAN":
        arguments["target_class"] = _classes(directions.generator, plain, options)
        side = directions.generator.removeprefix("biggan")
        if side.isdecimal() and side != "128":
            notes.append(f"the original builds BigGAN for 128 pixels only and fails on weights for {side}")
    elif kind == "StyleGAN2":
        arguments["w_shift"] = directions.generator != "stylegan2-z" and options.get("space") != "z"
        if "gan_resolution" not in arguments:
            arguments["gan_resolution"] = _FULL_SIZE
            notes.append(f"gan_resolution is written as {_FULL_SIZE}; correct it if the images have another side")
        if not arguments["w_shift"]:
            notes.append("the original's load_from_dir shifts in W whatever w_shift says; give it shift_in_w=False")
    elif kind in ("SN_MNIST", "SN_Anime"):
        notes.append(f"the original takes {GANS[kind][1]} of its published tree, whatever gan_weights says")
    elif kind not in GANS:
        text = f"{kind} is none of the original's generators ({', '.join(GANS)}); see {named('gan_type')}"
        notes.append(Line(text))
    return {key: arguments[key] for key in GAN_KEYS if key in arguments}, notes


def _kind_by_name(generator: str) -> str:
    """Return the original's kind of the generator called so; the name itself for one that the original has not."""
    return next((kind for names, kind in _KINDS.items() if re.fullmatch(names, generator)), generator)


def _classes(generator: str, plain: str, options: dict[str, str]) -> list[int]:
    """Return the classes the generator draws from: all unless named; of BigBiGAN one, since they are all the same."""
    named = list(Options(options, plain).integers("classes"))
    return named or ([0] if generator == "bigbigan" else list(range(_CLASSES)))


def export_folder(out: Path, directions: DirectionSet, networks: Networks, gan_type: str | None) -> list[str]:
    """Write the folder `out`, whole or not at all, and return notes on what the original would misread.

    UserError when `out` is there and not empty, or the current folder.
    """
    count, latent_dim = directions.vectors.shape
    settings = DiscoverySettings.up_to_date(directions.card.get("settings", {}))
    gan, notes = gan_arguments(directions, gan_type)
    arguments = {
        **gan,
        "deformator": networks.kind,
        "directions_count": count,
        "max_latent_dim": latent_dim,
        "shift_scale": settings.get("max_alpha", 6.0),
        "min_shift": settings.get("min_alpha", 0.5),
        **_predictor_arguments(networks, settings),
        OWN: {
            "generator": directions.generator,
            "source": directions.card.get("source", {}),
            "latent_dim": latent_dim,
            "method": directions.method,
        },
    }
    step = int(directions.card.get("step", 0))
    labels = {name: index for index, name in enumerate(directions.names) if name != f"direction_{index}"}
    with replacing_folder(out) as folder:
        write_json(folder / ARGS, arguments)
        _write_state(folder / "models" / f"deformator_{step}.pt", networks.deformator)
        if networks.predictor is not None:
            _write_state(folder / "models" / f"shift_predictor_{step}.pt", networks.predictor)
        write_annotations(folder / ANNOTATIONS, labels)
    return [*notes, *networks.notes, *_predictor_notes(networks, arguments)]


def _predictor_arguments(networks: Networks, settings: dict[str, Any]) -> dict[str, Any]:
    if networks.predictor is None:
        return {"shift_predictor": "ResNet"}
    names = {"resnet": "ResNet", "lenet": "LeNet"}
    return {
        "shift_predictor": names[settings["reconstructor"]],
        "shift_predictor_size": settings["reconstructor_size"],
    }


def _predictor_notes(networks: Networks, arguments: dict[str, Any]) -> Iterator[str]:
    """Yield what the original's load_from_dir gets wrong about the shift predictor, and what helps."""
    if networks.predictor is None:
        return
    count, latent_dim = arguments["directions_count"], arguments["max_latent_dim"]
    if count != latent_dim:
        yield (
            f"the original's load_from_dir builds a shift predictor of {latent_dim} directions and fails on this one "
            f"of {count}; delete the shift predictor to read the deformator there"
        )
    if arguments["shift_predictor_size"] is not None:
        yield (
            f"the original's load_from_dir forgets shift_predictor_size; shrink images to "
            f"{arguments['shift_predictor_size']} pixels before its predictor"
        )
    if arguments["gan_type"] == "SN_MNIST" and arguments["shift_predictor"] == "LeNet":
        yield "the original's LeNet for SN_MNIST takes grey images, this one colour; it cannot load it"


def _write_state(path: Path, state: Tensors) -> None:
    held = io.BytesIO()
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    # The form before torch 1.6, since the original is pinned to 1.4.
    torch.save(plain, held, _use_new_zipfile_serialization=False)
    write_bytes(path, held.getvalue())
