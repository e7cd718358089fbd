"""BigGAN-deep (Brock et al. 2019, 1809.11096) step by step: spectral norms, statistics and all colours at every call.

Nothing of the library is used. `plain` renders as the published network does in evaluation mode.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F

State = Mapping[str, torch.Tensor]
Images = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def weight(state: State, name: str) -> torch.Tensor:
    """Return the weight of a layer, divided by its spectral norm as torch's hook does."""
    original = state[f"{name}.weight_orig"]
    sigma = torch.dot(state[f"{name}.weight_u"], torch.mv(original.flatten(1), state[f"{name}.weight_v"]))
    return original / sigma


def conv(state: State, name: str, x: torch.Tensor) -> torch.Tensor:
    """Return a convolution that keeps the side."""
    kernel = weight(state, name)
    return F.conv2d(x, kernel, state.get(f"{name}.bias"), padding=kernel.shape[-1] // 2)


def statistics(state: State, name: str, truncation: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and variance (C, 1, 1) at a truncation, mixed of two rows as the original does."""
    means, variances = state[f"{name}.running_means"], state[f"{name}.running_vars"]
    beyond, row = math.modf(truncation / (1.0 / (len(means) - 1)))
    i = int(row)
    if beyond == 0:
        return means[i][:, None, None], variances[i][:, None, None]
    mean, variance = (rows[i] * beyond + rows[i + 1] * (1 - beyond) for rows in (means, variances))
    return mean[:, None, None], variance[:, None, None]


def normed(
    state: State, name: str, x: torch.Tensor, condition: torch.Tensor, truncation: float, eps: float
) -> torch.Tensor:
    """Return features behind a conditional batch norm."""
    mean, variance = statistics(state, name, truncation)
    scale = 1 + F.linear(condition, weight(state, f"{name}.scale"))[:, :, None, None]
    offset = F.linear(condition, weight(state, f"{name}.offset"))[:, :, None, None]
    return (x - mean) / torch.sqrt(variance + eps) * scale + offset


def block(
    state: State, name: str, x: torch.Tensor, condition: torch.Tensor, doubles: bool, truncation: float, eps: float
) -> torch.Tensor:
    """Return features behind a residual block, of which the shortcut is cut to the channels that come out."""
    h = x
    for k in range(4):
        h = F.relu(normed(state, f"{name}.bn_{k}", h, condition, truncation, eps))
        if k == 1 and doubles:
            h = F.interpolate(h, scale_factor=2, mode="nearest")
        h = conv(state, f"{name}.conv_{k}", h)
    shortcut = x[:, : h.shape[1]]
    return h + (F.interpolate(shortcut, scale_factor=2, mode="nearest") if doubles else shortcut)


def attention(state: State, name: str, x: torch.Tensor) -> torch.Tensor:
    """Return features behind self-attention over 2x2 max-pooled pixels."""
    theta = conv(state, f"{name}.snconv1x1_theta", x).flatten(2)
    phi, g = (F.max_pool2d(conv(state, f"{name}.snconv1x1_{part}", x), 2).flatten(2) for part in ("phi", "g"))
    shares = torch.softmax(torch.bmm(theta.mT, phi), dim=-1)
    attended = torch.bmm(g, shares.mT).unflatten(2, x.shape[2:])
    return x + state[f"{name}.gamma"] * conv(state, f"{name}.snconv1x1_o_conv", attended)


def plain(state: State, config: Mapping[str, Any], truncation: float = 1.0) -> Images:
    """Return the network of a published state as a function of z (B, D) and classes (B,) to images (B, 3, S, S)."""
    eps, classes = config["eps"], config["num_classes"]

    def images(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        embedded = F.linear(F.one_hot(y, classes).to(z.dtype), state["embeddings.weight"])
        condition = torch.cat([z, embedded], dim=1)
        h = F.linear(condition, weight(state, "generator.gen_z"), state["generator.gen_z.bias"])
        h = h.view(len(z), 4, 4, -1).permute(0, 3, 1, 2).contiguous()
        index = 0
        for i, (doubles, _, _) in enumerate(config["layers"]):
            if i == config["attention_layer_position"]:
                h = attention(state, f"generator.layers.{index}", h)
                index += 1
            h = block(state, f"generator.layers.{index}", h, condition, doubles, truncation, eps)
            index += 1
        mean, variance = statistics(state, "generator.bn", truncation)
        gain, bias = (state[f"generator.bn.{part}"][:, None, None] for part in ("weight", "bias"))
        h = F.relu((h - mean) / torch.sqrt(variance + eps) * gain + bias)
        return torch.tanh(conv(state, "generator.conv_to_rgb", h)[:, :3])

    return images
