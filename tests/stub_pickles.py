# ruff: noqa: E501 (tables of one row a line)
"""Writes small .pkl files with the container of stylegan2-ada-pytorch and stylegan3 snapshots, without any foreign source text.

    python write_stub_pickle.py KIND FILE [--seed 0] [--resolution 32] [--protocol 4] [--only-ema] [--published]

KIND: stylegan2ada, stylegan2ada-cond, stylegan3t, stylegan3t-cond, stylegan3r, legacy-tf (a TensorFlow StyleGAN2 triple).
The embedded module source is a harmless dummy; weights follow the deterministic fill where fill_generators_modern.py lies beside this file
(else they are random). Also writes FILE.state.npz: the state dict of G_ema that a reader must give back. Needs torch, numpy, scipy.
"""

import argparse
import contextlib
import copy
import pickle
import sys
import types
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "golden")]
try:
    from golden_fill_modern import fill
except ImportError:
    fill = None

MODULE_NAMES = (
    "dnnlib",
    "dnnlib.util",
    "dnnlib.tflib",
    "dnnlib.tflib.network",
    "torch_utils",
    "torch_utils.persistence",
)
STUBS = {name: types.ModuleType(name) for name in MODULE_NAMES}


def dummy_source(name):
    """Stands for the text of a whole module: longer than 255 bytes, as the real ones; raises when executed."""
    return f"# dummy source of {name}\nraise RuntimeError('embedded source was executed')\n" + "# filler\n" * 40


SOURCES = {name: dummy_source(name) for name in ("networks", "networks_stylegan2", "networks_stylegan3", "augment")}


SQRT2 = np.sqrt(2)  # one object, shared by all networks


class EasyDict(dict):
    """A dict; only its name matters."""


EasyDict.__module__, EasyDict.__qualname__ = "dnnlib.util", "EasyDict"
STUBS["dnnlib.util"].EasyDict = STUBS["dnnlib"].EasyDict = EasyDict


def _reconstruct_persistent_obj(record):
    raise RuntimeError("the embedded source was about to be executed")


_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
STUBS["torch_utils.persistence"]._reconstruct_persistent_obj = _reconstruct_persistent_obj


PUBLISHED = False
NEWER = {
    "_backward_pre_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks_with_kwargs",
    "_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
}


def _as_published(state):
    """The instance dictionary as torch 1.7 to 1.9 had it: ordered dictionaries, fewer hook tables."""
    return {
        k: OrderedDict(v) if k in ("_parameters", "_buffers", "_modules") else v
        for k, v in state.items()
        if k not in NEWER
    }


class _Persistent:
    """The reduction of a persistent object: one function, one dictionary, the instance dictionary inside as `state`."""

    def __reduce__(self):
        state = _as_published(self.__dict__) if PUBLISHED else self.__dict__
        meta = {
            "type": "class",
            "version": 6,
            "module_src": type(self).source,
            "class_name": type(self).original_name,
            "state": state,
        }
        return (_reconstruct_persistent_obj, (meta,), None)

    def __deepcopy__(self, memo):
        new = type(self).__new__(type(self))
        memo[id(self)] = new
        new.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return new


_classes = {}


def stub(source, kind, args, kwargs, *items):
    """One module. items: ("a", name, value) attribute, ("p", name, tensor) parameter, ("b", name, tensor or None) buffer, ("m", name, module)."""
    name = sys.intern(kind)
    cls = _classes.setdefault(
        (source, kind), type(kind, (_Persistent, torch.nn.Module), {"source": SOURCES[source], "original_name": name})
    )
    m = cls()
    for what, key, value in items:
        if what == "p":
            setattr(m, key, torch.nn.Parameter(value, requires_grad=False))
        elif what == "b":
            m.register_buffer(key, value)
        else:
            setattr(m, key, value)
    m._init_args = copy.deepcopy(args)
    m._init_kwargs = copy.deepcopy(kwargs)
    return m.eval()


def fir():
    k = torch.tensor([1.0, 3.0, 3.0, 1.0])
    k = torch.outer(k, k)
    return k / k.sum()


class Net:
    """Builds the module trees. `source` names the (dummy) module; `extra` adds the size attributes that stylegan3's copy of the classes keeps."""

    def __init__(self, source, extra):
        self.src, self.extra, self.sqrt2 = source, extra, SQRT2

    def gain(self, activation):
        return self.sqrt2 if activation == "lrelu" else 1

    def sizes(self, *pairs):
        return [("a", k, v) for k, v in pairs] if self.extra else []

    def fc(self, n_in, n_out, **kw):
        lr = kw.get("lr_multiplier", 1)
        return stub(
            self.src,
            "FullyConnectedLayer",
            (n_in, n_out),
            kw,
            *self.sizes(("in_features", n_in), ("out_features", n_out)),
            ("a", "activation", kw.get("activation", "linear")),
            ("p", "weight", torch.randn(n_out, n_in)),
            ("p", "bias", torch.zeros(n_out)),
            ("a", "weight_gain", lr / np.sqrt(n_in)),
            ("a", "bias_gain", lr),
        )

    def conv(self, n_in, n_out, **kw):
        k, act = kw["kernel_size"], kw.get("activation", "linear")
        items = [
            *self.sizes(("in_channels", n_in), ("out_channels", n_out)),
            ("a", "activation", act),
            ("a", "up", 1),
            ("a", "down", kw.get("down", 1)),
            ("a", "conv_clamp", kw.get("conv_clamp")),
            ("b", "resample_filter", fir()),
            ("a", "padding", k // 2),
            ("a", "weight_gain", 1 / np.sqrt(n_in * k**2)),
            ("a", "act_gain", self.gain(act)),
            ("p", "weight", torch.randn(n_out, n_in, k, k)),
        ]
        items.append(("p", "bias", torch.zeros(n_out)) if kw.get("bias", True) else ("a", "bias", None))
        return stub(self.src, "Conv2dLayer", (n_in, n_out), kw, *items)

    def mapping(self, beta, **kw):
        z, c, w, layers = kw["z_dim"], kw["c_dim"], kw["w_dim"], kw.get("num_layers", 8)
        new = self.src == "networks_stylegan3"
        items = [
            ("a", "z_dim", z),
            ("a", "c_dim", c),
            ("a", "w_dim", w),
            ("a", "num_ws", kw["num_ws"]),
            ("a", "num_layers", layers),
            ("a", "w_avg_beta", kw.get("w_avg_beta", beta)),
        ]
        if c:
            items.append(("m", "embed", self.fc(c, w)))
        elif new:
            items.append(("a", "embed", None))
        n_in = z + (w if c else 0)
        for i in range(layers):
            items.append(("m", f"fc{i}", self.fc(n_in, w, activation="lrelu", lr_multiplier=0.01)))
            n_in = w
        if kw["num_ws"] is not None:
            items.append(("b", "w_avg", torch.zeros(w)))
        return stub(self.src, "MappingNetwork", (), kw, *items)

    # ---- StyleGAN2-ADA generator
    def synthesis_layer(self, n_in, n_out, **kw):
        r = kw["resolution"]
        return stub(
            self.src,
            "SynthesisLayer",
            (n_in, n_out),
            kw,
            ("a", "resolution", r),
            ("a", "up", kw.get("up", 1)),
            ("a", "use_noise", True),
            ("a", "activation", "lrelu"),
            ("a", "conv_clamp", kw["conv_clamp"]),
            ("b", "resample_filter", fir()),
            ("a", "padding", 1),
            ("a", "act_gain", self.sqrt2),
            ("m", "affine", self.fc(kw["w_dim"], n_in, bias_init=1)),
            ("p", "weight", torch.randn(n_out, n_in, 3, 3)),
            ("b", "noise_const", torch.randn(r, r)),
            ("p", "noise_strength", torch.zeros([])),
            ("p", "bias", torch.zeros(n_out)),
        )

    def to_rgb(self, n_in, n_out, **kw):
        return stub(
            self.src,
            "ToRGBLayer",
            (n_in, n_out),
            kw,
            ("a", "conv_clamp", kw["conv_clamp"]),
            ("m", "affine", self.fc(kw["w_dim"], n_in, bias_init=1)),
            ("p", "weight", torch.randn(n_out, n_in, 1, 1)),
            ("p", "bias", torch.zeros(n_out)),
            ("a", "weight_gain", 1 / np.sqrt(n_in)),
        )

    def synthesis_block(self, n_in, n_out, **kw):
        r, w, clamp = kw["resolution"], kw["w_dim"], kw["conv_clamp"]
        items = [
            ("a", "in_channels", n_in),
            ("a", "w_dim", w),
            ("a", "resolution", r),
            ("a", "img_channels", kw["img_channels"]),
            ("a", "is_last", kw["is_last"]),
            ("a", "architecture", "skip"),
            ("a", "use_fp16", kw["use_fp16"]),
            ("a", "channels_last", False),
            ("b", "resample_filter", fir()),
            ("a", "num_conv", 2 if n_in else 1),
            ("a", "num_torgb", 1),
        ]
        if n_in:
            items.append(
                (
                    "m",
                    "conv0",
                    self.synthesis_layer(
                        n_in,
                        n_out,
                        w_dim=w,
                        resolution=r,
                        up=2,
                        resample_filter=[1, 3, 3, 1],
                        conv_clamp=clamp,
                        channels_last=False,
                    ),
                )
            )
        else:
            items.append(("p", "const", torch.randn(n_out, r, r)))
        items.append(
            (
                "m",
                "conv1",
                self.synthesis_layer(n_out, n_out, w_dim=w, resolution=r, conv_clamp=clamp, channels_last=False),
            )
        )
        items.append(
            ("m", "torgb", self.to_rgb(n_out, kw["img_channels"], w_dim=w, conv_clamp=clamp, channels_last=False))
        )
        return stub(self.src, "SynthesisBlock", (n_in, n_out), kw, *items)

    def synthesis2(self, **kw):
        res, log2 = kw["img_resolution"], kw["img_resolution"].bit_length() - 1
        blocks = [2**i for i in range(2, log2 + 1)]
        ch = {r: min(kw["channel_base"] // r, kw["channel_max"]) for r in blocks}
        fp16 = max(2 ** (log2 + 1 - kw["num_fp16_res"]), 8)
        num_ws = 2 * log2 - 2
        items = [
            ("a", "w_dim", kw["w_dim"]),
            ("a", "img_resolution", res),
            ("a", "img_resolution_log2", log2),
            ("a", "img_channels", kw["img_channels"]),
            ("a", "block_resolutions", blocks),
            ("a", "num_ws", num_ws),
        ]
        for r in blocks:
            items.append(
                (
                    "m",
                    f"b{r}",
                    self.synthesis_block(
                        ch[r // 2] if r > 4 else 0,
                        ch[r],
                        w_dim=kw["w_dim"],
                        resolution=r,
                        img_channels=kw["img_channels"],
                        is_last=r == res,
                        use_fp16=r >= fp16,
                        conv_clamp=kw["conv_clamp"],
                    ),
                )
            )
        return stub(self.src, "SynthesisNetwork", (), kw, *items), num_ws

    def generator2(self, kw):
        syn, num_ws = self.synthesis2(
            w_dim=kw["w_dim"],
            img_resolution=kw["img_resolution"],
            img_channels=kw["img_channels"],
            **kw["synthesis_kwargs"],
        )
        mapping = self.mapping(
            0.995, z_dim=kw["z_dim"], c_dim=kw["c_dim"], w_dim=kw["w_dim"], num_ws=num_ws, **kw["mapping_kwargs"]
        )
        return self.generator(kw, syn, num_ws, mapping)

    def generator(self, kw, syn, num_ws, mapping):
        return stub(
            self.src,
            "Generator",
            (),
            kw,
            *[("a", k, kw[k]) for k in ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")],
            ("m", "synthesis", syn),
            ("a", "num_ws", num_ws),
            ("m", "mapping", mapping),
        )

    # ---- StyleGAN3 generator
    def lowpass(self, taps, cutoff, width, fs, radial):
        import scipy.signal
        import scipy.special

        if taps == 1:
            return None
        if not radial:
            return torch.as_tensor(scipy.signal.firwin(taps, cutoff, width=width, fs=fs), dtype=torch.float32)
        t = (np.arange(taps) - (taps - 1) / 2) / fs
        r = np.sqrt(t[:, None] ** 2 + t[None, :] ** 2)
        window = np.kaiser(taps, scipy.signal.kaiser_beta(scipy.signal.kaiser_atten(taps, 2 * width / fs)))
        f = scipy.special.j1(2 * np.pi * cutoff * r) / (np.pi * r) * window[:, None] * window[None, :]
        return torch.as_tensor(f / f.sum(), dtype=torch.float32)

    def layer3(self, name, **kw):
        torgb, cin, cout = kw["is_torgb"], kw["in_channels"], kw["out_channels"]
        size_in, size_out = np.array([kw["in_size"]] * 2), np.array([kw["out_size"]] * 2)
        tmp = max(kw["in_sampling_rate"], kw["out_sampling_rate"]) * (1 if torgb else 2)
        up, down = tmp // kw["in_sampling_rate"], tmp // kw["out_sampling_rate"]
        up_taps, down_taps = (6 * up if up > 1 and not torgb else 1), (6 * down if down > 1 and not torgb else 1)
        k = 1 if torgb else kw.get("conv_kernel", 3)
        radial = kw.get("use_radial_filters", False) and not kw["is_critically_sampled"]
        total = (kw["out_size"] - 1) * down + 1 - (kw["in_size"] + k - 1) * up + up_taps + down_taps - 2
        lo = (total + up) // 2
        keys = ("w_dim", "is_torgb", "is_critically_sampled", "use_fp16", "in_channels", "out_channels")
        items = [("a", q, kw[q]) for q in keys] + [("a", "in_size", size_in), ("a", "out_size", size_out)]
        items += [("a", q, kw[q]) for q in ("in_sampling_rate", "out_sampling_rate")] + [
            ("a", "tmp_sampling_rate", tmp)
        ]
        items += [("a", q, kw[q]) for q in ("in_cutoff", "out_cutoff", "in_half_width", "out_half_width")]
        items += [
            ("a", "conv_kernel", k),
            ("a", "conv_clamp", 256),
            ("a", "magnitude_ema_beta", kw["magnitude_ema_beta"]),
            ("m", "affine", self.fc(kw["w_dim"], cin, bias_init=1)),
            ("p", "weight", torch.randn(cout, cin, k, k)),
            ("p", "bias", torch.zeros(cout)),
            ("b", "magnitude_ema", torch.ones([])),
            ("a", "up_factor", up),
            ("a", "up_taps", up_taps),
            ("b", "up_filter", self.lowpass(up_taps, kw["in_cutoff"], kw["in_half_width"] * 2, tmp, False)),
            ("a", "down_factor", down),
            ("a", "down_taps", down_taps),
            ("a", "down_radial", radial),
            ("b", "down_filter", self.lowpass(down_taps, kw["out_cutoff"], kw["out_half_width"] * 2, tmp, radial)),
            ("a", "padding", [lo, total - lo, lo, total - lo]),
        ]
        return stub(self.src, "SynthesisLayer", (), kw, *items)

    def input3(self, **kw):
        c = kw["channels"]
        return stub(
            self.src,
            "SynthesisInput",
            (),
            kw,
            ("a", "w_dim", kw["w_dim"]),
            ("a", "channels", c),
            ("a", "size", np.array([kw["size"]] * 2)),
            ("a", "sampling_rate", kw["sampling_rate"]),
            ("a", "bandwidth", kw["bandwidth"]),
            ("p", "weight", torch.randn(c, c)),
            ("m", "affine", self.fc(kw["w_dim"], 4, weight_init=0, bias_init=[1, 0, 0, 0])),
            ("b", "transform", torch.eye(3)),
            ("b", "freqs", torch.randn(c, 2)),
            ("b", "phases", torch.rand(c) - 0.5),
        )

    def generator3(self, kw):
        n, critical, margin, res = 14, 2, 10, kw["img_resolution"]
        e = np.minimum(np.arange(n + 1) / (n - critical), 1)
        cut = 2 * (res / 2 / 2) ** e
        first, last = 2**2.1, res / 2 * 2**0.3
        stop = first * (last / first) ** e
        rate = np.exp2(np.ceil(np.log2(np.minimum(stop * 2, res))))
        half = np.maximum(stop, rate / 2) - cut
        size = rate + margin * 2
        size[-2:] = res
        ch = np.rint(np.minimum(kw["channel_base"] / 2 / cut, kw["channel_max"]))
        ch[-1] = kw["img_channels"]
        more = {
            k: kw[k]
            for k in ("channel_base", "channel_max", "magnitude_ema_beta", "conv_kernel", "use_radial_filters")
            if k in kw
        }
        layer_kw = {k: v for k, v in more.items() if not k.startswith("channel")}
        syn_kw = {"w_dim": kw["w_dim"], "img_resolution": res, "img_channels": kw["img_channels"], **more}
        names, items = [], []
        for i in range(n + 1):
            p = max(i - 1, 0)
            name = sys.intern(f"L{i}_{int(size[i])}_{int(ch[i])}")
            names.append(name)
            items.append(
                (
                    "m",
                    name,
                    self.layer3(
                        name,
                        w_dim=kw["w_dim"],
                        is_torgb=i == n,
                        is_critically_sampled=i >= n - critical,
                        use_fp16=rate[i] * 16 > res,
                        in_channels=int(ch[p]),
                        out_channels=int(ch[i]),
                        in_size=int(size[p]),
                        out_size=int(size[i]),
                        in_sampling_rate=int(rate[p]),
                        out_sampling_rate=int(rate[i]),
                        in_cutoff=cut[p],
                        out_cutoff=cut[i],
                        in_half_width=half[p],
                        out_half_width=half[i],
                        **layer_kw,
                    ),
                )
            )
        inp = self.input3(
            w_dim=kw["w_dim"], channels=int(ch[0]), size=int(size[0]), sampling_rate=rate[0], bandwidth=cut[0]
        )
        syn = stub(
            self.src,
            "SynthesisNetwork",
            (),
            syn_kw,
            ("a", "w_dim", kw["w_dim"]),
            ("a", "num_ws", n + 2),
            ("a", "img_resolution", res),
            ("a", "img_channels", kw["img_channels"]),
            ("a", "num_layers", n),
            ("a", "num_critical", critical),
            ("a", "margin_size", margin),
            ("a", "output_scale", 0.25),
            ("a", "num_fp16_res", 4),
            ("m", "input", inp),
            ("a", "layer_names", names),
            *items,
        )
        mapping = self.mapping(
            0.998, z_dim=kw["z_dim"], c_dim=kw["c_dim"], w_dim=kw["w_dim"], num_ws=n + 2, **kw["mapping_kwargs"]
        )
        return self.generator(kw, syn, n + 2, mapping)

    # ---- discriminator (both)
    def discriminator(self, kw):
        res, log2, clamp = kw["img_resolution"], kw["img_resolution"].bit_length() - 1, kw["conv_clamp"]
        blocks = [2**i for i in range(log2, 2, -1)]
        ch = {r: min(kw["channel_base"] // r, kw["channel_max"]) for r in [*blocks, 4]}
        cmap = ch[4] if kw["c_dim"] else 0
        items = [
            ("a", "c_dim", kw["c_dim"]),
            ("a", "img_resolution", res),
            ("a", "img_resolution_log2", log2),
            ("a", "img_channels", kw["img_channels"]),
            ("a", "block_resolutions", blocks),
        ]
        idx, common = 0, {"img_channels": kw["img_channels"], "architecture": "resnet", "conv_clamp": clamp}
        for r in blocks:
            n_in, tmp, out = (ch[r] if r < res else 0), ch[r], ch[r // 2]
            bkw = {"resolution": r, "first_layer_idx": idx, "use_fp16": True, **kw["block_kwargs"], **common}
            b = [
                ("a", "in_channels", n_in),
                ("a", "resolution", r),
                ("a", "img_channels", kw["img_channels"]),
                ("a", "first_layer_idx", idx),
                ("a", "architecture", "resnet"),
                ("a", "use_fp16", True),
                ("a", "channels_last", False),
                ("b", "resample_filter", fir()),
                ("a", "num_layers", 3 if n_in else 4),
            ]
            last = {"conv_clamp": clamp, "channels_last": False}
            if not n_in:
                b.append(
                    (
                        "m",
                        "fromrgb",
                        self.conv(kw["img_channels"], tmp, kernel_size=1, activation="lrelu", trainable=True, **last),
                    )
                )
            b.append(("m", "conv0", self.conv(tmp, tmp, kernel_size=3, activation="lrelu", trainable=True, **last)))
            b.append(
                (
                    "m",
                    "conv1",
                    self.conv(
                        tmp,
                        out,
                        kernel_size=3,
                        activation="lrelu",
                        down=2,
                        trainable=True,
                        resample_filter=[1, 3, 3, 1],
                        **last,
                    ),
                )
            )
            b.append(
                (
                    "m",
                    "skip",
                    self.conv(
                        tmp,
                        out,
                        kernel_size=1,
                        bias=False,
                        down=2,
                        trainable=True,
                        resample_filter=[1, 3, 3, 1],
                        channels_last=False,
                    ),
                )
            )
            items.append(("m", f"b{r}", stub(self.src, "DiscriminatorBlock", (n_in, tmp, out), bkw, *b)))
            idx += 3 if n_in else 4
        if kw["c_dim"]:
            items.append(
                (
                    "m",
                    "mapping",
                    self.mapping(0.995, z_dim=0, c_dim=kw["c_dim"], w_dim=cmap, num_ws=None, w_avg_beta=None),
                )
            )
        c4 = ch[4]
        ekw = {"cmap_dim": cmap, "resolution": 4, **kw["epilogue_kwargs"], **common}
        group = kw["epilogue_kwargs"]["mbstd_group_size"]
        std = stub(
            self.src,
            "MinibatchStdLayer",
            (),
            {"group_size": group, "num_channels": 1},
            ("a", "group_size", group),
            ("a", "num_channels", 1),
        )
        items.append(
            (
                "m",
                "b4",
                stub(
                    self.src,
                    "DiscriminatorEpilogue",
                    (c4,),
                    ekw,
                    ("a", "in_channels", c4),
                    ("a", "cmap_dim", cmap),
                    ("a", "resolution", 4),
                    ("a", "img_channels", kw["img_channels"]),
                    ("a", "architecture", "resnet"),
                    ("m", "mbstd", std),
                    ("m", "conv", self.conv(c4 + 1, c4, kernel_size=3, activation="lrelu", conv_clamp=clamp)),
                    ("m", "fc", self.fc(c4 * 16, c4, activation="lrelu")),
                    ("m", "out", self.fc(c4, cmap if cmap else 1)),
                ),
            )
        )
        return stub(self.src, "Discriminator", (), kw, *items)


def augment_pipe():
    one = {"xflip": 1, "rotate90": 1, "xint": 1, "scale": 1}
    names = [
        ("xflip", 0),
        ("rotate90", 0),
        ("xint", 0),
        ("xint_max", 0.125),
        ("scale", 0),
        ("rotate", 0),
        ("aniso", 0),
        ("xfrac", 0),
        ("scale_std", 0.2),
        ("rotate_max", 1),
        ("aniso_std", 0.2),
        ("xfrac_std", 0.125),
        ("brightness", 0),
        ("contrast", 0),
        ("lumaflip", 0),
        ("hue", 0),
        ("saturation", 0),
        ("brightness_std", 0.2),
        ("contrast_std", 0.5),
        ("hue_max", 1),
        ("saturation_std", 1),
        ("imgfilter", 0),
        ("imgfilter_bands", [1, 1, 1, 1]),
        ("imgfilter_std", 1),
        ("noise", 0),
        ("cutout", 0),
        ("noise_std", 0.1),
        ("cutout_size", 0.5),
    ]
    items = [("b", "p", torch.ones([]))]
    items += [("a", k, list(v) if isinstance(v, list) else float(one.get(k, v))) for k, v in names]
    items += [("b", "Hz_geom", torch.randn(12)), ("b", "Hz_fbank", torch.randn(4, 43))]
    return stub("augment", "AugmentPipe", (), one, *items)


def fill_weights(family, module, seed):
    with torch.no_grad():
        sd = module.state_dict()
        for k, v in sd.items():
            value = fill(family, seed, k, v.shape) if fill else None
            if value is not None:
                v.copy_(torch.from_numpy(np.asarray(value)))


def snapshot(kind, resolution, seed):
    torch.manual_seed(seed)
    c_dim = 10 if kind.endswith("-cond") else 0
    common = {"c_dim": c_dim, "img_resolution": resolution, "img_channels": 3}
    d_kw = {
        "channel_base": 256,
        "channel_max": 16,
        "num_fp16_res": 4,
        "conv_clamp": 256,
        "block_kwargs": EasyDict(),
        "mapping_kwargs": EasyDict(),
        "epilogue_kwargs": EasyDict(mbstd_group_size=4),
        **common,
    }
    if kind.startswith("stylegan2ada"):
        g_kw = {
            "z_dim": 32,
            "w_dim": 32,
            "mapping_kwargs": EasyDict(num_layers=2),
            "synthesis_kwargs": EasyDict(channel_base=256, channel_max=16, num_fp16_res=4, conv_clamp=256),
            **common,
        }
        family, d_source, make = "stylegan2ada", "networks", lambda: Net("networks", False).generator2(g_kw)
    else:
        g_kw = {
            "z_dim": 32,
            "w_dim": 32,
            "mapping_kwargs": EasyDict(num_layers=2),
            "channel_base": 256,
            "channel_max": 16,
            "magnitude_ema_beta": 0.999,
        }
        if kind.startswith("stylegan3r"):
            g_kw.update(conv_kernel=1, use_radial_filters=True)
        g_kw.update(common)
        d_kw["block_kwargs"] = EasyDict(freeze_layers=0)
        family, d_source, make = (
            "stylegan3",
            "networks_stylegan2",
            lambda: Net("networks_stylegan3", True).generator3(g_kw),
        )
    G = make()
    ema = copy.deepcopy(G)
    fill_weights(family, G, seed + 1000)
    fill_weights(family, ema, seed)
    D, pipe = Net(d_source, family == "stylegan3").discriminator(d_kw), augment_pipe()
    G, D, ema, pipe = (
        copy.deepcopy(m) for m in (G, D, ema, pipe)
    )  # as the training loops do (it decides what is shared inside the file)
    data = {
        "class_name": "training.dataset.ImageFolderDataset",
        "path": "datasets/none.zip",
        "use_labels": bool(c_dim),
        "max_size": 100,
        "xflip": False,
        "resolution": resolution,
    }
    if family == "stylegan2ada":
        return {"training_set_kwargs": data, "G": G, "D": D, "G_ema": ema, "augment_pipe": pipe}
    return {"G": G, "D": D, "G_ema": ema, "augment_pipe": pipe, "training_set_kwargs": data}


class Network:
    """A TensorFlow network of the older repositories: only its name and state matter."""

    def __init__(self, state):
        self.__dict__.update(state)


Network.__module__, Network.__qualname__ = "dnnlib.tflib.network", "Network"
STUBS["dnnlib.tflib.network"].Network = Network


def legacy_triple(resolution, seed):
    rng = np.random.default_rng(seed)
    nets = []
    for name in ("G", "D", "Gs"):
        variables = [("lod", np.float32(0)), ("dlatent_avg", rng.standard_normal(32).astype(np.float32))]
        nets.append(
            Network(
                {
                    "version": 4,
                    "name": name,
                    "static_kwargs": {"resolution": resolution, "num_channels": 3},
                    "components": {},
                    "build_module_src": SOURCES["networks"],
                    "build_func_name": "G_main",
                    "variables": variables,
                }
            )
        )
    return tuple(nets)


@contextlib.contextmanager
def names_of_the_original():
    """Let pickle find the classes under the foreign module names, which are gone again afterwards."""
    saved = {k: sys.modules.get(k) for k in MODULE_NAMES}
    sys.modules.update(STUBS)
    try:
        yield
    finally:
        for k, v in saved.items():
            if v is None:
                sys.modules.pop(k, None)
            else:
                sys.modules[k] = v


def write(kind, path, resolution=32, seed=0, protocol=4, only_ema=False, published=False):
    """Writes the pickle; returns the state dict of G_ema as float32 arrays (None for legacy-tf).

    published: the dialect of files from 2020 and 2021 (Python 3.7, numpy 1, torch 1.7 to 1.9): protocol 3, numpy.core, ordered dictionaries.
    """
    global PUBLISHED
    PUBLISHED = published
    data = legacy_triple(resolution, seed) if kind == "legacy-tf" else snapshot(kind, resolution, seed)
    if only_ema:
        data = {"G_ema": data["G_ema"]}
    try:
        with names_of_the_original():
            raw = pickle.dumps(data, protocol=3 if published else protocol)
    finally:
        PUBLISHED = False
    if published:  # no frames in protocol 3: names can be exchanged
        raw = raw.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    Path(path).write_bytes(raw)
    return None if kind == "legacy-tf" else {k: v.numpy().copy() for k, v in data["G_ema"].state_dict().items()}


if __name__ == "__main__":
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument(
        "kind",
        choices=["stylegan2ada", "stylegan2ada-cond", "stylegan3t", "stylegan3t-cond", "stylegan3r", "legacy-tf"],
    )
    a.add_argument("file")
    a.add_argument("--resolution", type=int, default=32)
    a.add_argument("--seed", type=int, default=0)
    a.add_argument("--protocol", type=int, default=4)
    a.add_argument("--only-ema", action="store_true")
    a.add_argument(
        "--published",
        action="store_true",
        help="the dialect of 2020 and 2021 (protocol 3, numpy.core, ordered dictionaries)",
    )
    o = a.parse_args()
    state = write(o.kind, o.file, o.resolution, o.seed, o.protocol, o.only_ema, o.published)
    if state is not None:
        np.savez(o.file + ".state.npz", **state)
