"""The U-Net as an ONNX graph, written node by node from its weights.

No tracing: whatever a tracer recorded of one photo's size would be right for that size alone, and zero-padding of odd
sides is where shapes go wrong. Written here, every size is an operator of the graph, it is the same graph under every
version of torch, and the reader can hold a file against the few operators that are used.
"""

from typing import Any, cast

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from segmentation.predict.inference import folded
from segmentation.predict.onnx_segmenter import INPUT, OUTPUT
from segmentation.unet.network import DoubleConv, Down, UNet, Up

_OPSET = 18  # onnxruntime 1.14 and whatever is younger than 2023 reads it
_IR_VERSION = 8
_FLOAT = TensorProto.FLOAT


class _Graph:
    """Nodes and weights that are collected, each under a name that says where in the network it stands."""

    def __init__(self, half: bool) -> None:
        self.half = half
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Append a node and return the name of its output."""
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, values: np.ndarray) -> str:
        """Append a weight in its own precision and return its name."""
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def weight(self, name: str, tensor: torch.Tensor) -> str:
        """Append a weight, of a convolution in 16 bits where wanted, and return the name of it in 32 bits."""
        values = tensor.detach().float().cpu().numpy()
        if not self.half or tensor.dim() == 1:
            return self.constant(name, values)
        stored = self.constant(f"{name}.half", values.astype(np.float16))
        return self.add("Cast", [stored], name, to=_FLOAT)

    def convolution(self, features: str, convolution: nn.Conv2d, name: str) -> str:
        """Append a convolution of stride 1."""
        padding = convolution.padding[0]
        inputs = [features, *self._parameters(convolution, name)]
        return self.add("Conv", inputs, name, kernel_shape=convolution.kernel_size, pads=[padding] * 4)

    def _parameters(self, layer: nn.Conv2d | nn.ConvTranspose2d, name: str) -> list[str]:
        assert layer.bias is not None
        return [self.weight(f"{name}.weight", layer.weight), self.weight(f"{name}.bias", layer.bias)]

    def double(self, features: str, block: DoubleConv, name: str) -> str:
        """Append both convolutions of a block, into which its batch norms are folded, with their ReLUs."""
        for index in (0, 3):
            convolution = block.double_conv[index]
            assert isinstance(convolution, nn.Conv2d)
            features = self.convolution(features, convolution, f"{name}.{index}")
            features = self.add("Relu", [features], f"{name}.{index}.relu")
        return features

    def down(self, features: str, block: Down, name: str) -> str:
        """Append a halving and its block."""
        pooled = self.add("MaxPool", [features], f"{name}.pool", kernel_shape=[2, 2], strides=[2, 2])
        return self.double(pooled, cast(DoubleConv, block.maxpool_conv[1]), name)

    def up(self, below: str, skip: str, block: Up, name: str) -> str:
        """Append a doubling, zeros at its right and lower edge where the skip is odd, the joining and the block."""
        if isinstance(block.up, nn.ConvTranspose2d):
            inputs = [below, *self._parameters(block.up, f"{name}.up")]
            grown = self.add("ConvTranspose", inputs, f"{name}.grown", kernel_shape=[2, 2], strides=[2, 2])
        else:
            grown = self._doubled(below, f"{name}.grown")
        fitted = self._padded(grown, skip, name)
        return self.double(self.add("Concat", [skip, fitted], f"{name}.joined", axis=1), block.conv, name)

    def _doubled(self, features: str, name: str) -> str:
        scales = self.constant(f"{name}.scales", np.array([1, 1, 2, 2], np.float32))
        return self.add(
            "Resize", [features, "", scales], name, mode="linear", coordinate_transformation_mode="align_corners"
        )

    def _padded(self, grown: str, skip: str, name: str) -> str:
        """Append zeros up to the skip's size: none or one, since halving rounds down."""
        sides = [self.add("Shape", [features], f"{features}.sides.{name}", start=2) for features in (skip, grown)]
        lacking = self.add("Sub", sides, f"{name}.lacking")
        before = self.constant(f"{name}.before", np.zeros(6, np.int64))
        pads = self.add("Concat", [before, lacking], f"{name}.pads", axis=0)
        return self.add("Pad", [grown, pads], f"{name}.padded")


def graph_of(network: UNet, half: bool = False) -> onnx.ModelProto:
    """Return the graph `image` (B, 3, H, W) in [-1, 1] -> `probability` (B, H, W) of foreground, of any B, H and W.

    H and W are at least 16. Batch norms are folded. Of two classes the softmax is the sigmoid of their logits'
    difference, which the last convolution, being linear, gives at once: one channel in place of two. `half` stores
    convolutions in 16 bits, at half the size; they are computed in 32 bits, since few CPUs know others.
    """
    ready = folded(network).cpu()
    graph = _Graph(half)
    first = graph.double(INPUT, ready.inc, "inc")
    stages = [first]
    for name in ("down1", "down2", "down3", "down4"):
        stages.append(graph.down(stages[-1], getattr(ready, name), name))
    features = stages.pop()
    for name in ("up1", "up2", "up3", "up4"):
        features = graph.up(features, stages.pop(), getattr(ready, name), name)
    logit = graph.convolution(features, _difference(ready.outc.conv), "outc")
    graph.add("Sigmoid", [logit], "foreground")
    axis = graph.constant("channel", np.array([1], np.int64))
    graph.add("Squeeze", ["foreground", axis], OUTPUT)
    return _model(graph)


def _difference(classes: nn.Conv2d) -> nn.Conv2d:
    """Return the convolution to the logit of foreground over background of one to the logits of both."""
    single = nn.Conv2d(classes.in_channels, 1, 1)
    assert classes.bias is not None
    assert single.bias is not None
    single.weight = nn.Parameter((classes.weight[1:] - classes.weight[:1]).detach(), requires_grad=False)
    single.bias = nn.Parameter((classes.bias[1:] - classes.bias[:1]).detach(), requires_grad=False)
    return single


def _model(graph: _Graph) -> onnx.ModelProto:
    image = helper.make_tensor_value_info(INPUT, _FLOAT, ["batch", 3, "height", "width"])
    probability = helper.make_tensor_value_info(OUTPUT, _FLOAT, ["batch", "height", "width"])
    made = helper.make_graph(graph.nodes, "segmenter", [image], [probability], graph.weights)
    opset = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(made, opset_imports=opset, ir_version=_IR_VERSION, producer_name="latent-segmentation")
    onnx.checker.check_model(model, full_check=True)
    return model
