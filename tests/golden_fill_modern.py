# ruff: noqa: E501 (tables of one row a line)
"""Deterministic fill for the modern generators (numpy only). Rule version 1 (same random rule as fill_generators.py).

n(seed, name, shape): standard normals (float64, C order) from PCG64 seeded with the first 8 bytes (little endian) of sha256("seed:name").
fill(family, seed, key, shape) returns float32 (int64 for counters), or None: keep the value the model computes at construction (designed filters).
"""

import functools
import hashlib
import math
import re

import numpy as np


def normal(seed, name, shape):
    h = hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8]
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(h, "little")))
    return rng.standard_normal(tuple(int(s) for s in shape))


def noise_input(seed, name, shape):
    return normal(seed, "input:" + name, shape).astype(np.float32)


def _mapping(seed, key, n):
    """Mapping network and its mean W, common to StyleGAN2-ADA and StyleGAN3 (lr multiplier 0.01)."""
    if re.search(r"mapping\.fc\d+\.weight$", key):
        return 100.0 * n
    if re.search(r"mapping\.fc\d+\.bias$", key):
        return 10.0 * n
    if key == "mapping.embed.weight":
        return n
    if key == "mapping.embed.bias":
        return 0.1 * n
    if key == "mapping.w_avg":
        return 0.5 * n
    return None


def _fir(shape):
    k = np.array([1.0, 3.0, 3.0, 1.0])
    k = np.outer(k, k)
    assert tuple(shape) == (4, 4)
    return k / k.sum()


def _stylegan2ada(seed, key, shape):
    if key.endswith("resample_filter"):
        return _fir(shape)
    n = normal(seed, key, shape)
    v = _mapping(seed, key, n)
    if v is not None:
        return v
    if key.endswith("noise_strength"):
        return 0.2 + 0.1 * n
    if key.endswith("affine.weight"):
        return 0.5 * n
    if key.endswith("affine.bias"):
        return 1.0 + 0.1 * n
    if key.endswith("torgb.weight"):
        return 0.2 * n
    if key.endswith("bias"):
        return 0.1 * n
    if key.endswith(("weight", "const", "noise_const")):
        return n
    raise KeyError(key)


def _stylegan3(seed, key, shape, bandwidth):
    if key.endswith(("up_filter", "down_filter")):
        return None  # designed at construction (see the specification)
    if key == "synthesis.input.transform":
        return np.eye(3)
    n = normal(seed, key, shape)
    v = _mapping(seed, key, n)
    if v is not None:
        return v
    if key == "synthesis.input.freqs":  # direction of n, length exp(-|n|^2 / 4) * bandwidth
        r = np.sqrt((n**2).sum(1, keepdims=True))
        return n / r * np.exp(-(r**2) / 4) * bandwidth
    if key == "synthesis.input.phases":
        return 0.25 * n
    if key == "synthesis.input.affine.weight":
        return 0.3 * n
    if key == "synthesis.input.affine.bias":
        return np.array([1.0, 0.0, 0.0, 0.0]) + 0.1 * n
    if key.endswith("magnitude_ema"):
        return np.exp(0.3 * n)
    if key.endswith("affine.weight"):
        return 0.5 * n
    if key.endswith("affine.bias"):
        return 1.0 + 0.1 * n
    if key.endswith("bias"):
        return 0.1 * n
    if key.endswith("weight"):
        return n
    raise KeyError(key)


@functools.lru_cache(maxsize=2)
def _spectral_layer(seed, base, shape):
    """W, u, v of one spectral-norm layer: 15 power steps (float64) from u = n, so that sigma = u W v is near the true norm."""
    w = normal(seed, base + ".weight_orig", shape) / math.sqrt(int(np.prod(shape[1:])))
    m = w.reshape(shape[0], -1)
    u = normal(seed, base + ".weight_u", (shape[0],))
    for _ in range(15):
        v = m.T @ u
        v /= np.sqrt((v**2).sum())
        u = m @ v
        u /= np.sqrt((u**2).sum())
    return w, u, v


def _spectral(seed, key, shapes):
    base, last = key.rsplit(".", 1)
    shape = tuple(int(s) for s in shapes[base + ".weight_orig"])
    return _spectral_layer(seed, base, shape)[("weight_orig", "weight_u", "weight_v").index(last)]


def _biggan_deep(seed, key, shape, shapes):
    last = key.rsplit(".", 1)[-1]
    if last in ("weight_orig", "weight_u", "weight_v"):
        return _spectral(seed, key, shapes)
    n = normal(seed, key, shape)
    if last == "running_means":
        return 0.1 * n
    if last == "running_vars":
        return 0.5 + 0.1 * np.abs(n)
    if last == "gamma":
        return 0.5 + 0.1 * n
    if key == "generator.bn.weight":  # small, so that tanh does not saturate
        return 0.2 * (1.0 + 0.1 * n)
    if last == "bias":
        return 0.1 * n
    if key == "embeddings.weight":
        return n
    raise KeyError(key)


def _genforce(seed, key, shape):
    last = key.rsplit(".", 1)[-1]
    if last == "kernel":
        return None  # FIR buffers keep their value
    if last == "lod":
        return np.zeros(shape)
    n = normal(seed, key, shape)
    if re.match(r"mapping\.dense\d+\.weight$", key):
        return 100.0 * n
    if re.match(r"mapping\.dense\d+\.bias$", key):
        return 10.0 * n
    if key == "truncation.w_avg":
        return 0.5 * n
    if key.endswith("apply_noise.weight"):
        return 0.2 + 0.1 * n
    if key.endswith("noise_strength"):
        return 0.2 + 0.1 * n
    if key.endswith("style.weight"):
        return 0.5 * n
    if re.search(r"output\d+\.weight$", key):
        return 0.2 * n
    if last == "const":
        return 1.0 + 0.5 * n if key.startswith("synthesis.layer0") else n
    if last == "bias":
        return 0.1 * n
    if last in ("weight", "noise", "label_weight"):
        return n
    raise KeyError(key)


def _base(seed, key, shape):
    """Base rule for plain networks with batch norm (as in fill_generators.py)."""
    last = key.rsplit(".", 1)[-1]
    if last == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    n = normal(seed, key, shape)
    if last == "running_var":
        return 0.5 + 0.1 * np.abs(n)
    if last in ("running_mean", "bias"):
        return 0.1 * n
    if last == "weight" and len(shape) == 1:
        return 1.0 + 0.1 * n
    if len(shape) >= 2:
        return n / math.sqrt(int(np.prod(shape[1:])))
    raise KeyError(key)


def _mimicry(seed, key, shape):
    v = _base(seed, key, shape)
    return 0.3 * v if re.match(r"c\d+\.weight$", key) else v


def _studiogan(seed, key, shape, shapes):
    last = key.rsplit(".", 1)[-1]
    if last in ("weight_orig", "weight_u", "weight_v"):
        return _spectral(seed, key, shapes)
    if last == "sigma":
        return 0.5 + 0.1 * normal(seed, key, shape)
    if key == "shared.weight":
        return normal(seed, key, shape)
    v = _base(seed, key, shape)
    return 0.3 * v if key == "bn4.weight" else v


def _selfcond(seed, key, shape):
    if key == "get_latent.embedding.weight":
        return normal(seed, key, shape)
    v = _base(seed, key, shape)
    return 0.3 * v if key == "conv_img.weight" else v


def fill(family, seed, key, shape, shapes=None, bandwidth=2.0):
    """family: stylegan2ada, stylegan3, biggan_deep, genforce, mimicry, studiogan, selfcond. `shapes` (all keys -> shape) is needed by the two with spectral norm."""
    shape = tuple(int(s) for s in shape)
    if family == "stylegan2ada":
        v = _stylegan2ada(seed, key, shape)
    elif family == "stylegan3":
        v = _stylegan3(seed, key, shape, bandwidth)
    elif family == "biggan_deep":
        v = _biggan_deep(seed, key, shape, shapes)
    elif family == "genforce":
        v = _genforce(seed, key, shape)
    elif family == "mimicry":
        v = _mimicry(seed, key, shape)
    elif family == "studiogan":
        v = _studiogan(seed, key, shape, shapes)
    elif family == "selfcond":
        v = _selfcond(seed, key, shape)
    else:
        raise KeyError(family)
    if v is None:
        return None
    v = np.asarray(v)
    return v.reshape(shape) if v.dtype == np.int64 else v.astype(np.float32).reshape(shape)
