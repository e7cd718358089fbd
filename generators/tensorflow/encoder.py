"""The encoder of the published TF-Hub BigBiGAN modules, run by TensorFlow 2 (the optional extra `tensorflow`)."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from toolkit.errors import UserError
from toolkit.streams import Stream

_IMAGE_SIZE = 256
_OUTPUTS = ("z_sample", "z_mean", "z_stdev")


class TFHubEncoder:
    """Latents of real images by the module's signature `encode`; see `load_tfhub_encoder`.

    The originals' embeddings are made of photos whose shorter side was brought to 256 pixels and whose centre was
    cut out (Voynov et al. 2021, bigbigan_embeddings.ipynb).
    """

    image_size = _IMAGE_SIZE

    def __init__(self, module: Any, latent_dim: int) -> None:
        self._module = module  # its variables live no longer than itself
        self.latent_dim = latent_dim

    def embed(self, images: torch.Tensor, sample: bool, rng: Stream) -> torch.Tensor:
        """Return latents (B, D) of images (B, 3, 256, 256) in [-1, 1]: their means, or draws around them.

        Draws are z_mean + z_stdev * noise with the stream's next rows as noise. The module's own `z_sample`, of which
        the published embeddings consist, has this distribution but draws inside TensorFlow, so that no run would
        give it again.
        """
        outputs = _encode(self._module, images.detach().float().movedim(1, -1).cpu().numpy())
        latents = outputs["z_mean"]
        if sample:
            latents = latents + outputs["z_stdev"] * rng.normal(len(latents), self.latent_dim)
        return latents.to(images.device)


def load_tfhub_encoder(folder: Path) -> TFHubEncoder:
    """Return the encoder in a local folder of bigbigan-resnet50/1 or bigbigan-revnet50x4/1.

    UserError when the folder holds no such module, or without the `tensorflow` extra.
    """
    folder = Path(folder)
    if not (folder / "saved_model.pb").is_file():
        raise UserError(f"{folder} is no TF-Hub module: saved_model.pb is missing; name the unpacked module's folder")
    module = _load_module(folder)
    if "encode" not in module.signatures:
        raise UserError(
            f"the module {folder} has the signatures {', '.join(sorted(module.signatures)) or 'none'}, but encode is "
            "needed; name a BigBiGAN module"
        )
    outputs = _encode(module, np.zeros((1, _IMAGE_SIZE, _IMAGE_SIZE, 3), np.float32))
    missing = [name for name in _OUTPUTS if name not in outputs]
    if missing:
        raise UserError(f"encode of the module {folder} gives no {', '.join(missing)}; name a BigBiGAN module")
    _require_gaussian(outputs, folder)
    return TFHubEncoder(module, outputs["z_mean"].shape[1])


def _load_module(folder: Path) -> Any:
    if find_spec("tensorflow") is None:
        raise UserError(
            "TF-Hub modules need the tensorflow extra: pip install 'latent-segmentation-toolkit[tensorflow]'; "
            "or embed with an encoder of this toolkit"
        )
    # Read by TensorFlow when it is imported: no start-up chatter, and memory left to torch on a shared GPU.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    _load_torch_compilers()
    import tensorflow

    # A module in the format of TF1 holds several graphs; the one without tags is for inference.
    tags: list[str] | None = [] if (folder / "tfhub_module.pb").is_file() else None
    try:
        return tensorflow.saved_model.load(str(folder), tags=tags)
    except Exception as error:  # TensorFlow raises half a dozen kinds
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:160]
        raise UserError(f"TensorFlow cannot load the module {folder} ({reason}); download it again") from error


def _load_torch_compilers() -> None:
    """Have torch load its compilers, which it otherwise does when the first optimiser is made.

    They and TensorFlow each bring an LLVM of their own. Loaded after TensorFlow's, torch's ends the process with
    "inconsistency in registered CommandLine options" (torch 2.15.0, Triton, TensorFlow 2.21.0); before it, both work.
    """
    if "tensorflow" not in sys.modules:  # too late otherwise: who imported it decides
        torch.optim.Adam([torch.zeros(1, requires_grad=True)])


def _encode(module: Any, images: np.ndarray) -> dict[str, torch.Tensor]:
    """Return the outputs of `encode` for images (B, 256, 256, 3) in [-1, 1]."""
    import tensorflow

    signature = module.signatures["encode"]
    (name,) = signature.structured_input_signature[1]
    return {key: torch.from_numpy(out.numpy()) for key, out in signature(**{name: tensorflow.constant(images)}).items()}


def _require_gaussian(outputs: dict[str, torch.Tensor], folder: Path) -> None:
    """Raise UserError unless z_sample looks like a draw from N(z_mean, z_stdev**2)."""
    noise = (outputs["z_sample"] - outputs["z_mean"]) / outputs["z_stdev"]
    if not 0.5 < float(noise.square().mean().sqrt()) < 2:
        raise UserError(
            f"z_sample of the module {folder} does not scatter around z_mean by z_stdev; name a BigBiGAN module"
        )
