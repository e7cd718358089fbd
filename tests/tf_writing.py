"""What real TensorFlow writes, for the tests; `python tests/tf_writing.py` makes tests/golden/tf_bundle anew."""

import json
import os
import sys
from pathlib import Path

import numpy as np
from golden_fill import tf_fill

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
FIXTURE = Path(__file__).parent / "golden" / "tf_bundle" / "variables.index"
SCOPE = "module/"
NUMBERS = {
    name: np.array([0, 1, 2, 100], name)
    for name in ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")
} | {
    "bfloat16": np.array([1.0, -2.5, 3.140625], np.float32),
    "complex64": np.array([1 + 2j], np.complex64),
    "bool": np.array(True),
    "scalar": np.array(0.25, np.float32),
    "empty": np.zeros((0, 3), np.float32),
}


def module_names() -> dict[str, list[int]]:
    """Return name -> shape of every generator variable of the real module."""
    with np.load(FIXTURE.parent.parent / "tf_conversion_seed0.npz") as arrays:
        return json.loads(str(arrays["tf_spec_json"]))


def fixture_variables() -> dict[str, np.ndarray]:
    """Return the numbers in the fixture: each type, and each name of the real module with few numbers."""
    named = {name: tf_fill(0, name, [min(n, 2) for n in shape]) for name, shape in module_names().items()}
    return {SCOPE + name: value for name, value in named.items()} | {f"types/{k}": v for k, v in NUMBERS.items()}


def write_checkpoint(prefix: Path, variables: dict[str, np.ndarray]) -> None:
    """Write variables, strings and a partitioned variable in two shards by TensorFlow's Saver."""
    import tensorflow as tf

    v1 = tf.compat.v1
    prefix.parent.mkdir(exist_ok=True)
    with tf.Graph().as_default():
        for name, value in variables.items():
            with tf.device("/cpu:1" if name.startswith("types/") else "/cpu:0"):
                dtype = tf.bfloat16 if name == "types/bfloat16" else value.dtype
                v1.get_variable(name, initializer=tf.cast(tf.constant(value), dtype), use_resource=False)
        with tf.device("/cpu:0"):
            v1.get_variable("types/strings", initializer=tf.constant(["ab", "c"]), use_resource=False)
            two = v1.fixed_size_partitioner(2)
            v1.get_variable("types/sliced", initializer=tf.zeros([4, 2]), partitioner=two, use_resource=False)
        with v1.Session(config=v1.ConfigProto(device_count={"CPU": 2})) as session:
            session.run(v1.global_variables_initializer())
            v1.train.Saver(sharded=True).save(session, str(prefix), write_meta_graph=False, write_state=False)


def write_generator_module(folder: Path, variables: dict[str, np.ndarray]) -> None:
    """Write variables as a module in the TF1 Hub format, with resource variables and no scope."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        for name, value in variables.items():
            v1.get_variable(name, shape=value.shape, initializer=v1.zeros_initializer(), use_resource=True)
        z = v1.placeholder(tf.float32, [None, 120])
        _save_module(session, folder, {"generate": ({"z": z}, {"default": z})}, variables)


def write_encoder_module(
    folder: Path, weights: np.ndarray, outputs: tuple[str, ...], signature: str = "encode", use_resource: bool = False
) -> None:
    """Write a module whose mean is the mean colour times `weights` (3, D), the spread half the exponential of it."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 256, 256, 3], name="x")
        kernel = v1.get_variable("GenEncWrapper/Encoder/w", shape=weights.shape, use_resource=use_resource)
        mean = tf.reduce_mean(x, [1, 2]) @ kernel
        spread = 0.5 * tf.exp(mean)
        found = {"z_mean": mean, "z_stdev": spread, "z_sample": mean + spread * tf.random.normal(tf.shape(mean))}
        chosen = {"default": mean} | {name: found[name] for name in outputs}
        _save_module(session, folder, {signature: ({"x": x}, chosen)}, {"GenEncWrapper/Encoder/w": weights})


def _save_module(session, folder, signatures, values) -> None:
    import tensorflow as tf

    v1 = tf.compat.v1
    for variable in v1.global_variables():
        variable.load(values[variable.op.name], session)
    info = v1.saved_model.build_tensor_info
    described = {
        name: v1.saved_model.build_signature_def(*({k: info(v) for k, v in ends.items()} for ends in pair))
        for name, pair in signatures.items()
    }
    builder = v1.saved_model.Builder(str(folder))
    builder.add_meta_graph_and_variables(session, [], signature_def_map=described, strip_default_attrs=True)
    builder.add_meta_graph(["train"], signature_def_map=described)
    builder.save()
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")  # the format's version


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    write_checkpoint(FIXTURE.with_suffix(""), fixture_variables())
