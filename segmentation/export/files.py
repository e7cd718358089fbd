"""ONNX files of segmenters: graph and card in one."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import onnx

from segmentation.predict.onnx_segmenter import KIND
from toolkit.untrusted.onnx_models import DIGEST


def serialised(model: onnx.ModelProto, card: Mapping[str, Any]) -> bytes:
    """Return the bytes of a graph with its card; the same graph and card give the same bytes."""
    entries = {
        "kind": KIND,
        **{name: str(card[name]) for name in ("image_size", "width", "digest")},
        "card": json.dumps(card, allow_nan=False),
        DIGEST: hashlib.sha256(model.graph.SerializeToString(deterministic=True)).hexdigest(),
    }
    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.metadata_props[:]  # the quantizer leaves some of its own
    for key, value in sorted(entries.items()):
        made.metadata_props.add(key=key, value=value)
    return made.SerializeToString(deterministic=True)
