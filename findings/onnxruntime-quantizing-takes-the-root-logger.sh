#!/usr/bin/env bash
# onnxruntime 1.32.0, onnx 1.23.2. Guess: what static quantization has to say goes to a logger of its own, and nothing is
# said of a model that needs no preparation.
# Seen: one call of quantize_static gives the root logger a handler on stderr and prints advice through it, whatever the
# host program set up; from then on logging.basicConfig() of that program does nothing without force=True, and its own
# messages come out in another form.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
uv venv --quiet --python 3.11 "$folder/venv"
uv pip install --quiet --python "$folder/venv/bin/python" onnxruntime==1.32.0 onnx==1.23.2 numpy==2.3.5
cd "$folder"
venv/bin/python - <<'PYTHON'
import logging
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, quantize_static

weights = numpy_helper.from_array(np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32), "weights")
image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 16])
found = helper.make_tensor_value_info("found", TensorProto.FLOAT, [1, 4, 14, 14])
graph = helper.make_graph([helper.make_node("Conv", ["image", "weights"], ["found"])], "net", [image], [found], [weights])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), "net.onnx")


class Reader(CalibrationDataReader):
    def __init__(self):
        self.rows = iter([{"image": np.ones((1, 3, 16, 16), np.float32)}] * 2)

    def get_next(self):
        return next(self.rows, None)


before = list(logging.getLogger().handlers)
quantize_static("net.onnx", "small.onnx", Reader())
after = list(logging.getLogger().handlers)
logging.basicConfig(format="OURS %(message)s", stream=sys.stdout)
formats = [handler.formatter._fmt for handler in logging.getLogger().handlers]
print(f"onnxruntime {onnxruntime.__version__}: handlers of the root logger {len(before)} -> {len(after)}, then {formats}")
as_seen = (len(before), len(after)) == (0, 1) and formats == ["%(levelname)s:%(name)s:%(message)s"]
print("as recorded" if as_seen else "CHANGED")
sys.exit(not as_seen)
PYTHON
