"""Pickles of stylegan2-ada-pytorch and stylegan3: what is read of them, and that nothing in them is run."""

import itertools
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pickle_parts as parts
import pytest
import stub_pickles
import torch
from fuzzing.mutations import damaged_bytes
from fuzzing.pickles import damaged_program, with_call
from pickle_parts import called, module, named, number, table, tensor, text, tuple_of, whole

from generators.nvlabs.reading import is_plain_pickle, read_networks
from toolkit.compute.memory import peak_memory
from toolkit.errors import UserError
from toolkit.untrusted.printable import is_printable

KINDS = ["stylegan2ada", "stylegan2ada-cond", "stylegan3t", "stylegan3t-cond", "stylegan3r"]
FORMS = [{"protocol": 2}, {"protocol": 3}, {"protocol": 4}, {"protocol": 5}, {"published": True}, {"only_ema": True}]
ARRAY = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a pickle, given as bytes or as the record of G_ema in it; commands would leave marks here."""
    monkeypatch.chdir(tmp_path)

    def written(content: bytes = b"", ema: bytes | None = None, name: str = "g.pkl") -> Path:
        path = tmp_path / name
        path.write_bytes(content if ema is None else whole(table({"G_ema": ema})))
        return path

    yield written
    assert not (tmp_path / parts.MARK).exists()


def told(path) -> str:
    """What the user is told about a file."""
    with pytest.raises(UserError) as caught:
        read_networks(path)
    assert is_printable(str(caught.value))
    return str(caught.value)


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_snapshot_gives_the_state_dict_of_its_average(kind, form, tmp_path):
    state = stub_pickles.write(kind, tmp_path / "g.pkl", resolution=16, **form)
    weights = read_networks(tmp_path / "g.pkl", pytest.fail)
    assert list(weights.tensors) == list(state)
    for name, tensor_read in weights.tensors.items():
        assert tensor_read.dtype == torch.float32
        assert np.array_equal(tensor_read.numpy(), state[name]), name
    assert weights.path == tmp_path / "g.pkl"


def test_the_constructors_arguments_are_plain_values(tmp_path):
    stub_pickles.write("stylegan2ada-cond", tmp_path / "g.pkl", resolution=16)
    assert read_networks(tmp_path / "g.pkl").config == {
        "class_name": "Generator",
        "version": 6,
        "init_kwargs": {
            "z_dim": 32,
            "w_dim": 32,
            "c_dim": 10,
            "img_resolution": 16,
            "img_channels": 3,
            "mapping_kwargs": {"num_layers": 2},
            "synthesis_kwargs": {"channel_base": 256, "channel_max": 16, "num_fp16_res": 4, "conv_clamp": 256},
        },
    }


def numpys_scalar(value) -> bytes:
    kind = called("numpy.dtype", text(value.dtype.str[1:]), number(False), number(True))
    state = tuple_of(number(3), text("<"), *[number(None)] * 3, number(-1), number(-1), number(0))
    return called("numpy.core.multiarray.scalar", kind + state + b"b", parts.raw(value.tobytes()))


def test_numbers_and_arrays_of_numpy_become_pythons_own(write):
    values = {"gain": numpys_scalar(np.float64(0.5)), "size": numpys_scalar(np.int64(-3))}
    values |= {"taps": tuple_of(number(1), number(3)), "none": number(None), "on": number(True)}
    values["names"] = called("builtins.set", b"](" + text("b") + text("a") + b"e")
    path = write(ema=module({"w": tensor(ARRAY)}, _init_kwargs=table(values)))
    kept = read_networks(path).config["init_kwargs"]
    assert kept == {"gain": 0.5, "size": -3, "taps": [1, 3], "none": None, "on": True, "names": ["a", "b"]}
    assert [type(kept[name]) for name in ("gain", "size")] == [float, int]


@pytest.mark.parametrize("kind", ["<f8", "<f2", "<i8"])
def test_tensors_keep_their_kind_of_numbers(kind, write):
    path = write(ema=module({"w": tensor(ARRAY.astype(kind))}))
    assert torch.equal(read_networks(path).tensors["w"], torch.from_numpy(ARRAY.astype(kind)))


def test_views_of_a_storage_are_read_in_their_order(write):
    views = {
        "transposed": tensor(ARRAY, (4, 3), (1, 4)),
        "rows": tensor(ARRAY, (2, 4), (4, 1), offset=4),
        "one": tensor(ARRAY, (), (), offset=11),
    }
    read = read_networks(write(ema=module(views))).tensors
    assert torch.equal(read["transposed"], torch.from_numpy(ARRAY.T.copy()))
    assert read["transposed"].is_contiguous()
    assert torch.equal(read["rows"], torch.from_numpy(ARRAY[1:]))
    assert read["one"] == 11


def test_entries_are_those_of_torchs_state_dict(write):
    buffers = {"kept": tensor(ARRAY), "unsaved": tensor(ARRAY), "none": number(None)}
    inner = module({"bias": number(None), "weight": tensor(ARRAY)})
    ema = module(
        {"scale": tensor(ARRAY)},
        {"fc": inner, "gone": number(None)},
        _buffers=table(buffers),
        _non_persistent_buffers_set=called("__builtin__.set", b"](" + text("unsaved") + b"e"),
    )
    assert list(read_networks(write(ema=ema)).tensors) == ["scale", "kept", "fc.weight"]


def test_nothing_of_the_original_is_imported(tmp_path):
    before = set(sys.modules)
    for kind in KINDS[1:3]:
        stub_pickles.write(kind, tmp_path / "g.pkl", resolution=8)
        read_networks(tmp_path / "g.pkl")
    assert not {name for name in set(sys.modules) - before if name.partition(".")[0] in ("dnnlib", "torch_utils")}
    assert not {"dnnlib", "torch_utils"} & set(sys.modules)


@pytest.mark.parametrize("name", ["g.pkl", "g.PKL", "g.pt", "g.bin", "g"])
def test_such_a_pickle_is_known_by_any_name(name, write):
    assert is_plain_pickle(write(ema=module(), name=name))


@pytest.mark.parametrize("zipped", [True, False])
def test_files_of_torch_save_are_none_of_them(zipped, tmp_path):
    torch.save({"w": torch.ones(2)}, tmp_path / "g.pkl", _use_new_zipfile_serialization=zipped)
    assert not is_plain_pickle(tmp_path / "g.pkl")


def test_what_cannot_be_read_is_none_of_them(tmp_path):
    assert not is_plain_pickle(tmp_path)
    assert not is_plain_pickle(tmp_path / "nowhere.pkl")


@pytest.mark.parametrize("place", ["beside", "in an attribute", "as a class", "in a table's key", "in a storage"])
def test_calls_are_not_made_and_named_where_they_are_in_the_generator(place, write):
    weight = {"w": tensor(ARRAY)}
    if place == "beside":
        content = whole(table({"G": parts.marker(), "G_ema": module(weight), "augment_pipe": parts.marker()}))
        assert torch.equal(read_networks(write(content)).tensors["w"], torch.from_numpy(ARRAY))
    elif place == "in a storage":
        held = parts.storage(ARRAY, extra=parts.marker() + b"0")
        assert list(read_networks(write(ema=module({"w": tensor(ARRAY, held=held)}))).tensors) == ["w"]
    else:
        values = {
            "in an attribute": called("dnnlib.util.EasyDict") + b"(" + text("a") + parts.marker() + b"u",
            "as a class": named("os.mkdir"),
            "in a table's key": b"}(" + parts.marker() + number(1) + b"u",
        }
        path = write(ema=module(weight, hook=values[place]))
        assert told(path).startswith(f"{path} holds os.mkdir in G_ema, which is no part of StyleGAN2 or StyleGAN3")


# What a plain list of allowed names lets through: holes of the usual recipe.


@pytest.mark.parametrize(
    "name",
    ["torch._utils._rebuild_tensor_v2", "dnnlib.util.EasyDict", "torch_utils.persistence._reconstruct_persistent_obj"],
)
def test_no_attribute_is_set_on_an_allowed_function(name, write):
    state = tuple_of(number(None), table({"__defaults__": tuple_of(number(7)), "marked": number(1)}))
    before = read_networks(write(ema=module({"w": tensor(ARRAY)})))
    assert "it sets the state of what has none" in told(write(ema=named(name) + state + b"b"))
    after = read_networks(write(ema=module({"w": tensor(ARRAY)})))
    assert torch.equal(before.tensors["w"], after.tensors["w"])
    assert not hasattr(torch._utils._rebuild_tensor_v2, "marked")


@pytest.mark.parametrize(
    "case",
    [
        {"size": (1000, 1000), "stride": (0, 0)},
        {"size": (3, 4, 2), "stride": (4, 1, 0)},
        {"size": (2**40, 2**40), "stride": (0, 0)},
        {"size": (3, 4), "stride": (4, 2)},
        {"size": (3, 4), "stride": (4, -1)},
        {"size": (-3, -4), "stride": (4, 1)},
        {"size": (3, 4), "stride": (4, 1), "offset": 1},
        {"size": (3, 4), "stride": (4, 1), "offset": -1},
        {"size": (3, 4), "stride": (4,)},
        {"size": (1,) * 70, "stride": (1,) * 70},
        {"size": (True, 4), "stride": (4, 1)},
    ],
    ids=str,
)
def test_a_tensor_is_never_larger_than_its_storage(case, write):
    path = write(ema=module({"w": tensor(ARRAY, **case)}))
    assert told(path).startswith(f"{path} is no whole pickle of a generator (w: it")


def test_one_storage_cannot_be_read_without_end(write):
    one = tensor(np.zeros(30_000, np.float32))  # remembered, and named again
    many = {"w0": one + b"q\0"} | {f"w{number}": b"h\0" for number in range(1, 100)}
    assert "far more numbers than there are in the file" in told(write(ema=module(many)))


def test_modules_in_themselves_end(write):
    inner = table({"_parameters": table({}), "_buffers": table({})})
    state = inner + b"q\1" + b"(" + text("_modules") + b"}(" + text("a") + b"h\0" + text("b") + b"h\0" + b"u" + b"u"
    record = {"type": text("class"), "version": number(6), "class_name": text("G"), "state": state}
    function = named("torch_utils.persistence._reconstruct_persistent_obj")
    # The module is remembered before its state names it.
    filled = b"}q\2(" + b"".join(text(key) + value for key, value in record.items() if key != "state") + b"u"
    made = function + b"h\2\x85Rq\0"
    content = whole(filled + b"0" + made + b"0" + b"h\2" + text("state") + state + b"s0" + table({"G_ema": b"h\0"}))
    message = told(write(content))
    assert "its modules are nested too deeply" in message or "it has too many modules" in message


def test_values_in_themselves_end(write):
    ema = module({"w": tensor(ARRAY)}, _init_kwargs=table({"a": b"]q\0h\0a"}))
    assert "it holds too many values, or one in itself" in told(write(ema=ema))


def test_deep_nests_end(write):
    for deep in (b"]" + b"q\0" + b"\x85" * 200_000, b"]" * 200_000 + b"a" * 199_999):
        assert "one in itself" in told(write(ema=module(_init_kwargs=table({"a": deep}))))
        assert "is a pickle of a list" in told(write(whole(deep)))
        assert "is a pickle of a table of nothing by name" in told(write(whole(b"}(" + deep + number(1) + b"u")))


@pytest.mark.parametrize(
    ("ema", "message"),
    [
        (module({"w": number(3)}), "(w: it is no tensor)"),
        (module({"w": text("x")}, {}), "(w: it is no tensor)"),
        (module(_parameters=b"}(" + number(1) + tensor(ARRAY) + b"u"), "a name in _parameters of Generator is no text"),
        (module({"a.b": tensor(ARRAY)}), "_parameters of Generator holds a name that cannot be"),
        (module({"w": tensor(ARRAY)}, _buffers=table({"w": tensor(ARRAY)})), "w is there twice"),
        (module(modules={"fc": table({})}), "it holds a module that is none"),
        (module(_buffers=number(None)), "_buffers of Generator is no table"),
        (module({"w": tensor(ARRAY, held=number(0))}), "w: it has no storage of its own"),
        (module({"w": tensor(ARRAY, held=parts.storage(ARRAY, numbers=13))}), "w: its storage has another size"),
        (module({"w": tensor(ARRAY, held=parts.storage(ARRAY, kind="torch.Q"))}), "another kind of numbers, torch.Q"),
        (module({"w": tensor(ARRAY)}, _init_kwargs=table({"a": number(2**70)})), "of more than 64 bits"),
        (module({"w": tensor(ARRAY)}, _init_kwargs=table({"a": number(np.inf)})), "beyond all bounds"),
        (module({"w": tensor(ARRAY)}, _init_kwargs=table({"a": tensor(ARRAY)})), "a value that is no plain one"),
    ],
)
def test_what_no_network_holds_is_told(ema, message, write):
    assert message in told(write(ema=ema))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (table({"G": module(), "D": module()}), "holds no G_ema, only G, D; G_ema is the average of the generators"),
        (table({"state_dict": table({"w": tensor(ARRAY)})}), "is a pickle of a table of state_dict, without a gen"),
        (table({"G_ema": number(None)}), "is a pickle of a table of G_ema, without a generator's G_ema among them"),
        (table({}), "is a pickle of a table of nothing by name, without"),
        (module(), "is a pickle of torch_utils.persistence._reconstruct_persistent_obj, not of a table"),
        (called("sklearn.decomposition.PCA"), "is a pickle of sklearn.decomposition.PCA, not of a table with a gen"),
        (b"]", "is a pickle of a list, not of a table"),
        (number(3), "is a pickle of a single value, not of a table"),
        (text("\x1b[31m"), "is a pickle of a single value"),
        (table({"\x1b[31m": number(1)}), "is a pickle of a table of \\x1b[31m, without"),
    ],
)
def test_other_pickles_are_named(content, message, write):
    path = write(whole(content))
    assert told(path).startswith(f"{path} {message}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is an empty file, not a pickle of a generator"),
        (b"<!DOCTYPE html><html>", "is a web page, not a pickle of a generator; download the file itself"),
        (b"version https://git-lfs.github.com/spec/v1\nsize 1000\n", "is a Git LFS pointer"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "is packed by gzip; unpack it first"),
        (b"some text", "is no whole pickle of a generator (it takes a value that is not there); make or"),
        (b"\x80\x04}", "is no whole pickle of a generator (it is cut short); make or download it again"),
        (b"\x80\x04" + b"N" * 1_000_001 + b".", "(it has more than 1000000 steps)"),
        (b"\x80\x04\x8e" + b"\xff" * 8, "(it is cut short)"),
        (b"\x80\x04\x82\x01.", "(no step of a pickle is b'\\x82')"),
    ],
)
def test_what_is_no_pickle_is_told(content, message, write):
    assert message in told(write(content))


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_pickles_of_tensorflow_are_told_what_to_do(protocol, tmp_path):
    stub_pickles.write("legacy-tf", tmp_path / "g.pkl", protocol=protocol)
    message = told(tmp_path / "g.pkl")
    assert message.startswith(
        f"{tmp_path / 'g.pkl'} is a TensorFlow pickle that is not read here (it has no synthesis/4x4/Const/const);"
    )
    assert "convert it with legacy.py of the stylegan3 repository" in message


def test_another_version_is_read_with_a_note(write):
    notes: list[str] = []
    inner = module({"w": tensor(ARRAY)}, version=7)
    assert list(read_networks(write(ema=module(modules={"fc": inner})), notes.append).tensors) == ["fc.w"]
    assert len(notes) == 1
    assert "is of version 7 of its kind, of which 6 is known here" in notes[0]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The bytes of small snapshots: all networks, the average alone, and an older dialect."""
    path = tmp_path_factory.mktemp("small") / "g.pkl"

    def content(kind, **form):
        stub_pickles.write(kind, path, resolution=8, **form)
        return path.read_bytes()

    return [
        content("stylegan2ada", only_ema=True),
        content("stylegan2ada-cond", only_ema=True, protocol=2),
        content("stylegan3r", only_ema=True),
        content("stylegan2ada", published=True),
    ]


def cut(rng: Random, content: bytes) -> bytes:
    return content[: rng.randrange(len(content))]


def marked(rng: Random, content: bytes) -> bytes:
    return with_call(rng, content, parts.marker())


DAMAGES = [damaged_program, damaged_program, damaged_bytes, marked, cut]


def ending(path: Path) -> str | None:
    """What the user is told about a file, None where it is read."""
    try:
        read_networks(path)
    except UserError as error:
        return str(error)
    return None


def test_five_hundred_damaged_pickles_end_in_one_line_or_a_value(small, write):
    before = peak_memory(torch.device("cpu"))
    lines = []
    for seed, (damage, content) in zip(range(500), itertools.cycle(itertools.product(DAMAGES, small)), strict=False):
        lines.append(ending(write(damage(Random(seed), content))))
        assert not Path(parts.MARK).exists(), seed
    refused = [line for line in lines if line is not None]
    assert all(map(is_printable, refused))
    assert 200 < len(refused) < 450
    assert peak_memory(torch.device("cpu")) - before < 1e9


MEASURED = """
import sys
from pathlib import Path
import torch
from generators.nvlabs.reading import read_networks
from toolkit.compute.memory import peak_memory
before = peak_memory(torch.device("cpu"))
for path in sys.argv[1:]:
    weights = None
    weights = read_networks(Path(path))
held = sum(tensor.nbytes for tensor in weights.tensors.values())
print(held, peak_memory(torch.device("cpu")) - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no peak of memory there")
def test_numbers_are_read_once_and_those_of_other_networks_never(tmp_path):
    def network(count):
        inner = [("p", f"w{index}", torch.zeros(2_000_000)) for index in range(count)]
        return stub_pickles.stub("networks", "Generator", (), {}, *inner)

    data = {"G": network(4), "D": network(8), "G_ema": network(8)}
    paths = [tmp_path / f"{protocol}.pkl" for protocol in (2, 4)]
    with stub_pickles.names_of_the_original():
        for path in paths:
            path.write_bytes(stub_pickles.pickle.dumps(data, int(path.stem)))
    done = subprocess.run([sys.executable, "-c", MEASURED, *paths], capture_output=True, text=True, check=True)
    held, peak = map(int, done.stdout.split())
    assert held == 64_000_000
    assert peak < 1.3 * held
