"""Work that is done once by one process and once by two; run as a program, each process of a team saves what it got."""

import copy
import os
import sys
from itertools import islice
from pathlib import Path

import torch
from cli_runs import ran
from seg_toy import DiscGenerator, contrast_shift
from torch import nn

from cli.runs.processes import ending_at_once
from discovery.methods.deformator.training import DiscoveryState, discover
from discovery.methods.deformator.validation import confusion
from discovery.settings import DiscoverySettings
from generators.compact.joint_training import JointState, train_jointly
from generators.compact.settings import GeneratorSettings
from generators.compact.training import GeneratorState, train
from generators.encoder.settings import EncoderSettings
from generators.encoder.training import EncoderState
from generators.encoder.training import train as train_encoder
from generators.scene import SceneGenerator
from segmentation.synthesis.synthesizer import PriorSource
from segmentation.unet.settings import SegmentationSettings
from segmentation.unet.training import SegmentationState
from segmentation.unet.training import train as train_segmenter
from toolkit.compute.batch_norm import synchronised
from toolkit.compute.engine import Engine, choose_engine
from toolkit.errors import UserError
from toolkit.streams import Stream

STEPS = 3
SCENE = SceneGenerator(image_size=32, latent_dim=8)
_GAN = {"image_size": 32, "latent_dim": 8, "width": 8, "critic_width": 8}
_JOINT = {**_GAN, "objective": "bigbigan", "encoder_width": 4, "joint_width": 16}
Results = dict[str, torch.Tensor]


def _photos(count: int = 40) -> torch.Tensor:
    return ((SCENE(SCENE.sample(count, Stream(5, "photos"))) + 1) * 127.5).round().to(torch.uint8)


def trained(state, networks: dict[str, nn.Module], steps) -> Results:
    """Return each network's weights before and after some steps, its statistics, and the figures of the steps."""
    # Adam divides by a gradient's size: of one that is all rounding (biases before batch norm) it would take its full
    # step in some direction. This keeps rounding what it is.
    for optimiser in vars(state).values():
        if isinstance(optimiser, torch.optim.Optimizer):
            for group in optimiser.param_groups:
                group["eps"] = 1e-3
    before = {name: copy.deepcopy(network.state_dict()) for name, network in networks.items()}
    found: Results = {}
    for number, step in enumerate(islice(steps, STEPS)):
        figures = [v for v in vars(step).values() if isinstance(v, torch.Tensor)]
        found[f"figures {number}"] = torch.stack(figures)
    for name, network in networks.items():
        for key, value in network.state_dict().items():
            found[f"before {name}.{key}"] = before[name][key]
            found[f"after {name}.{key}"] = value.clone()
    return found | {f"stream {name}": torch.tensor(s.position) for name, s in getattr(state, "streams", {}).items()}


def _discovered(engine: Engine, **changes) -> Results:
    settings = DiscoverySettings(
        batch=9, directions=6, reconstructor="lenet", steps=STEPS, validation_batches=3, **changes
    )
    state = DiscoveryState.start(SCENE, settings, engine)
    networks = {"deformator": state.deformator, "reconstructor": state.reconstructor}
    found = trained(state, networks, discover(state, SCENE, settings, engine))
    return found | {"confusion": confusion(state, SCENE, settings, engine)}


def _segmented(engine: Engine, **changes) -> Results:
    settings = SegmentationSettings(
        batch=10, width=4, steps=STEPS, validation_samples=13, validate_every=STEPS, augment=True, **changes
    )
    generator = DiscGenerator()
    state = SegmentationState.start(generator, contrast_shift(), settings, engine, PriorSource(generator))
    found, validations = {}, []

    def steps():
        for step in train_segmenter(state, settings, engine):
            validations.append(step.validation)
            yield step

    found = trained(state, {"network": state.network}, steps())
    again = SegmentationState.start(generator, contrast_shift(), settings, engine, PriorSource(generator)).synthesizer
    again.load_state_dict(state.synthesizer.state_dict())
    return found | {
        "validation": torch.tensor(list(vars(validations[-1]).values())),
        "resumed": again.batch(7).images,
        "next": state.synthesizer.batch(7).images,
        "acceptance": torch.tensor([state.synthesizer.acceptance.drawn, state.synthesizer.acceptance.accepted]),
    }


def _generator(engine: Engine) -> Results:
    settings = GeneratorSettings(steps=STEPS, batch=16, **_GAN)
    state = GeneratorState.start(settings, engine)
    networks = {"network": state.network, "average": state.average, "critic": state.critic}
    return trained(state, networks, train(state, _photos(), settings, engine))


def _bigbigan(engine: Engine) -> Results:
    settings = GeneratorSettings(steps=STEPS, batch=16, latent_share=0.5, **_JOINT)
    state = JointState.start(settings, engine)
    networks = {"network": state.network, "encoder": state.encoder, "critic": state.critic}
    return trained(state, networks, train_jointly(state, _photos(), settings, engine))


def _encoder(engine: Engine) -> Results:
    settings = EncoderSettings(steps=STEPS, batch=9, photo_batch=5, width=4, disturbed=0.7)
    state = EncoderState.start(SCENE, settings, engine)
    return trained(state, {"network": state.network}, train_encoder(state, SCENE, _photos(), settings, engine))


def _normed(engine: Engine) -> Results:
    """Return what a batch norm gives and gets back of 7 samples of far-off mean."""
    torch.manual_seed(1)
    features = (100 + torch.randn(7, 4, 5, 6)).requires_grad_()
    weights = torch.randn(7, 4, 5, 6)
    network = synchronised(nn.Sequential(nn.Identity(), nn.BatchNorm2d(4)), engine.team)
    nn.init.normal_(network[1].weight)
    rows = engine.team.rows(7)
    out = engine.team.joined(network(features[rows]), 7)
    with engine.team.summing(network.parameters()):
        (out * weights).sum().backward()
    return {
        "out": out.detach(),
        "back": engine.team.joined(features.grad[rows], 7),
        **{f"grad {name}": parameter.grad for name, parameter in network.named_parameters()},
        **{f"state {name}": value for name, value in network.state_dict().items()},
    }


def _exchanges(engine: Engine) -> Results:
    """Return what only a team can give; alone, the same numbers by hand."""
    team = engine.team
    return {
        "total": team.total(torch.tensor([float(team.rank + 1)])),
        "any": torch.tensor([team.any(team.rank == team.size - 1), team.any(False)]),
        "led": torch.tensor(team.led(lambda: 10 + team.rank)),
        "together": torch.tensor(team.together(lambda: team.rank)),
        "masks": team.joined((torch.arange(5) % 2 == 0)[team.rows(5)], 5),
        "refused": torch.tensor([_refused(lambda: team.led(_fail)), _refused(lambda: team.together(_fail_last(team)))]),
        "too few": torch.tensor(_refused(lambda: team.rows(1))),
    }


def _fail() -> None:
    raise UserError("no")


def _fail_last(team):
    return _fail if team.rank == team.size - 1 else lambda: None


def _refused(work) -> bool:
    try:
        work()
    except UserError:
        return True
    return False


TRAININGS = {
    "discover": _discovered,
    "discover, curved, in parts": lambda engine: _discovered(engine, deformator="fc", micro_batch=5),
    "segment": _segmented,
    "segment, in parts": lambda engine: _segmented(engine, micro_batch=4),
    "train-generator": _generator,
    "train-generator, bigbigan": _bigbigan,
    "train-encoder": _encoder,
}
JOBS = {**TRAININGS, "batch norm": _normed, "exchanges": _exchanges}


def commands(folder: Path, out: Path) -> None:
    """Run every command that shares work without training, on what lies in `folder`."""
    photos, masks, size = folder / "photos", folder / "masks", ("--precision", "fp32")
    ran("embed", photos, "--out", out / "z.npy", "--batch", 2, "--skip-unreadable", "--sample")
    steps = ("--generator", folder / "styled.pt", "--steps", 3, "--optimise-noise", "--batch", 2)
    ran("embed", photos, *steps, "--out", out / "w.npy", "--skip-unreadable", "--device", "cpu")
    ran("predict", photos, "--out", out / "predicted", "--skip-unreadable")
    ran("eval", "--segmenter", "flowers64", "--photos", folder / "good", "--masks", masks, "--out", out / "eval")
    for layout in ("folder", "shards"):
        ran(
            *("synthesize", folder / "d.safetensors", "--out", out / layout, "--samples", 11, "--batch", 4),
            *("--layout", layout, "--shard-size", 4, *size),
        )


def main() -> None:
    """Do everything as one process of a team and save it; the last argument is the folder."""
    folder = Path(sys.argv[-1])
    engine = choose_engine("cpu", "fp32")
    found = {name: job(engine) for name, job in JOBS.items()}
    torch.save(found, folder / f"rank{engine.team.rank}.pt")
    commands(folder, folder / "two")


if __name__ == "__main__":
    torch.set_num_threads(1)
    assert os.environ["WORLD_SIZE"] == "2"
    with ending_at_once():
        main()
