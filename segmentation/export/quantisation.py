"""An ONNX graph in 8 bits: activations unsigned, weights signed, ranges seen on photos."""

import contextlib
import logging
from collections.abc import Iterable, Iterator

import numpy as np
import onnx

from segmentation.predict.onnx_segmenter import INPUT
from toolkit.files.workplace import temporary_folder

# The upsampling stays in 32 bits: it has no weights that would be read faster, and rounds once less.
_OPERATORS = ["Conv", "Relu", "MaxPool", "Concat"]
_LAST = ["outc"]  # whose 8 bits would be the probability's


def quantised(model: onnx.ModelProto, inputs: Iterable[np.ndarray]) -> onnx.ModelProto:
    """Return the graph with convolutions in 8 bits, calibrated on network inputs (1, 3, h, w) in [-1, 1].

    Each activation's range is the widest that the inputs give. Weights have 7 bits of each channel's range: x86 CPUs
    without the VNNI instructions add two products in 16 bits, which 8 would overflow without a word.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Photos(CalibrationDataReader):
        """Hands inputs on one by one."""

        def __init__(self) -> None:
            self.inputs = iter(inputs)

        def get_next(self) -> dict[str, np.ndarray] | None:
            """Return the next input, None behind the last."""
            images = next(self.inputs, None)
            return None if images is None else {INPUT: images}

    with temporary_folder() as folder, _without_a_word():
        onnx.save(model, folder / "whole.onnx")
        quantize_static(
            folder / "whole.onnx",
            folder / "quantised.onnx",
            Photos(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_OPERATORS,
            nodes_to_exclude=_LAST,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(folder / "quantised.onnx")


@contextlib.contextmanager
def _without_a_word() -> Iterator[None]:
    """Keep the quantizer from advising steps that a graph made here does not need, by everybody's logger.

    Its first word gives the root logger a handler even where nothing is shown, and a program that sets up its own
    afterwards would do so in vain.
    """
    before, handlers = logging.root.manager.disable, list(logging.root.handlers)
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
        logging.root.handlers[:] = handlers
