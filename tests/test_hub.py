"""Artefacts on the hub, against a server on this machine that answers as the hub does."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cli_runs import ran, refused
from hub_server import TOKEN, Hub

import toolkit
from segmentation.predict.segmenter import Segmenter
from toolkit.directions import DirectionSet
from toolkit.errors import UserError
from toolkit.files.artefacts import load_artefact
from toolkit.files.shipped import shipped_file
from toolkit.files.writing import sha256_of
from toolkit.hub import fetching
from toolkit.hub.reference import Reference, is_reference

huggingface_hub = pytest.importorskip("huggingface_hub")
PHOTO = shipped_file("photos") / "flower.jpg"
SEGMENTER = shipped_file("segmenters") / "flowers64.safetensors"
DIRECTIONS = shipped_file("directions") / "flowers64.safetensors"
GENERATOR = shipped_file("generators") / "flowers64.safetensors"
ENCODER = shipped_file("encoders") / "flowers64.safetensors"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    served = Hub()
    for name in [name for name in os.environ if name.startswith("HF_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(constants, "ENDPOINT", served.address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", served.address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(fetching, "_settled", {})
    monkeypatch.chdir(tmp_path)
    yield served
    close_session()
    served.close()


@pytest.fixture
def offline(monkeypatch):
    def switch() -> None:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(fetching, "_settled", {})

    return switch


def a_new_process() -> None:
    fetching._settled.clear()


def test_a_segmenter_is_used_from_the_hub_and_recorded_with_its_commit(hub):
    commit = hub.put("me/flowers", {"segmenter.safetensors": SEGMENTER.read_bytes()})
    printed = ran("predict", PHOTO, "--segmenter", "hub:me/flowers", "--out", "masks")
    recorded = json.loads(Path("masks/result.json").read_text())
    assert recorded["segmenter"] == f"hub:me/flowers/segmenter.safetensors@{commit}", recorded
    assert "wrote 3 pictures" in printed
    ran("predict", PHOTO, "--out", "shipped")
    assert Path("masks/flower_mask.png").read_bytes() == Path("shipped/flower_mask.png").read_bytes()


def test_what_was_fetched_needs_no_network_any_more(hub, offline):
    commit = hub.put("me/flowers", {"segmenter.safetensors": SEGMENTER.read_bytes()})
    first = Segmenter.load("hub:me/flowers@main").digest()
    hub.close()
    offline()
    for name in ("hub:me/flowers", "hub:me/flowers@main", f"hub:me/flowers@{commit}"):
        assert Segmenter.load(name).digest() == first, name
        assert fetching.pinned(name, "segmenters") == f"hub:me/flowers/segmenter.safetensors@{commit}"


def test_out_of_reach_is_the_cache_with_a_note(hub):
    hub.put("me/flowers", {"segmenter.safetensors": SEGMENTER.read_bytes()})
    ran("predict", PHOTO, "--segmenter", "hub:me/flowers", "--out", "masks")
    a_new_process()
    hub.faults["GET /api"] = (503, {})
    printed = ran("predict", PHOTO, "--segmenter", "hub:me/flowers", "--out", "masks")
    assert "note: hub:me/flowers is taken from the cache: the hub is out of reach" in printed


def test_a_pinned_reference_asks_nobody_twice(hub):
    commit = hub.put("me/flowers", {"segmenter.safetensors": SEGMENTER.read_bytes()})
    name = f"hub:me/flowers/segmenter.safetensors@{commit}"
    Segmenter.load(name)
    a_new_process()
    before = len(hub.asked)
    Segmenter.load(name)
    assert len(hub.asked) == before


def test_one_process_sees_one_commit_and_the_next_one_the_newest(hub):
    first = hub.put("me/set", {"directions.safetensors": DIRECTIONS.read_bytes()})
    assert fetching.pinned("hub:me/set", "directions").endswith(first)
    second = hub.put("me/set", {"directions.safetensors": DIRECTIONS.read_bytes(), "README.md": b"more"})
    assert fetching.pinned("hub:me/set", "directions").endswith(first)
    a_new_process()
    assert fetching.pinned("hub:me/set", "directions").endswith(second)
    assert fetching.pinned(f"hub:me/set@{first}", "directions").endswith(first)


def test_a_broken_download_is_resumed_by_the_library(hub):
    hub.put("me/flowers", {"segmenter.safetensors": SEGMENTER.read_bytes()})
    hub.faults[f"GET /{sha256_of(SEGMENTER)}"] = "cut"
    assert sha256_of(fetching.located("hub:me/flowers", "segmenters")) == sha256_of(SEGMENTER)


def test_the_chain_goes_on_from_the_hub_and_records_where_everything_is_from(hub):
    contents = {"gan": GENERATOR, "set": DIRECTIONS, "codes": ENCODER}
    files = {"gan": "generator.safetensors", "set": "directions.safetensors", "codes": "encoder.safetensors"}
    commits = {name: hub.put(f"me/{name}", {files[name]: path.read_bytes()}) for name, path in contents.items()}
    pinned = {name: f"hub:me/{name}/{files[name]}@{commit}" for name, commit in commits.items()}
    ran("render-gif", "hub:me/set", "--generator", "hub:me/gan", "--photo", PHOTO, "--encoder", "hub:me/codes",
        "--direction", "0", "--frames", "2", "--out", "x.gif")  # fmt: skip
    ran("segment", "hub:me/set", "--generator", "hub:me/gan", "--out", "net", "--steps", "1", "--batch", "2",
        "--width", "4", "--validation-samples", "2")  # fmt: skip
    recorded = json.loads(Path("net/run.json").read_text())["inputs"]
    assert recorded["generator"] == pinned["gan"]
    assert recorded["generator_digest"] == sha256_of(GENERATOR)[:16]
    assert recorded["directions"] == pinned["set"]
    assert recorded["directions_digest"] == sha256_of(DIRECTIONS)[:16]
    assert load_artefact(Path("net/segmenter.safetensors"), "segmenter")[1]["source"]["directions"] == pinned["set"]
    ran("embed", PHOTO.parent, "--generator", "hub:me/gan", "--encoder", "hub:me/codes", "--out", "z.npy")
    made = json.loads(Path("z.json").read_text())["made"]
    assert (made["encoder"], made["encoder_digest"]) == (pinned["codes"], sha256_of(ENCODER)[:16])
    ran("pick", "hub:me/set", "--generator", "hub:me/gan", "--direction", "3", "--alpha", "2", "--out", "mine")
    assert DirectionSet.load(Path("mine")).card["shared"] == {"from": pinned["set"], "sha256": sha256_of(DIRECTIONS)}


def test_a_set_opens_the_generator_on_the_hub_that_it_was_found_on(hub):
    commit = hub.put("me/gan", {"generator.safetensors": GENERATOR.read_bytes()})
    ran("discover", "--generator", "hub:me/gan", "--method", "ganspace", "--directions", "2", "--samples", "64",
        "--out", "found")  # fmt: skip
    source = DirectionSet.load(Path("found")).source
    assert source.generator == f"hub:me/gan/generator.safetensors@{commit}"
    a_new_process()
    hub.put("me/gan", {"generator.safetensors": b"another"})
    ran("render-gif", "found", "--direction", "0", "--frames", "2", "--samples", "1", "--out", "x.gif")


def test_the_library_takes_references_too(hub):
    commit = hub.put("me/flowers", {"segmenter.safetensors": SEGMENTER.read_bytes()})
    hub.put("me/set", {"directions.safetensors": DIRECTIONS.read_bytes()})
    hub.put("me/gan", {"generator.safetensors": GENERATOR.read_bytes()})
    assert toolkit.mask(PHOTO, "hub:me/flowers").any()
    assert len(toolkit.open_directions("hub:me/set")) == 64
    assert toolkit.sample("hub:me/gan", 2).z.shape == (2, 64)
    assert Segmenter.load("hub:me/flowers").card["shared"]["from"].endswith(commit)


def test_compared_sets_are_called_after_their_repositories(hub):
    from discovery.opening import labelled_sets

    hub.put("me/set", {"directions.safetensors": DIRECTIONS.read_bytes()})
    assert list(labelled_sets(["hub:me/set", "own=hub:me/set"])) == ["set", "own"]


def test_the_one_file_of_a_repository_is_meant_whatever_it_is_called(hub):
    hub.put("me/one", {"flowers.safetensors": SEGMENTER.read_bytes(), "notes.txt": b"."})
    assert Reference.parse(fetching.pinned("hub:me/one", "segmenters")).file == "flowers.safetensors"
    hub.put("me/all", {"segmenter.safetensors": SEGMENTER.read_bytes(), "directions.safetensors": b"."})
    assert Reference.parse(fetching.pinned("hub:me/all", "segmenters")).file == "segmenter.safetensors"


def test_pickles_are_never_fetched_and_that_is_said(hub):
    hub.put("me/mixed", {"segmenter.safetensors": SEGMENTER.read_bytes(), "pytorch_model.bin": b"cos\nsystem\n"})
    printed = ran("predict", PHOTO, "--segmenter", "hub:me/mixed", "--out", "masks")
    assert "note: pytorch_model.bin of me/mixed may run code, and is not fetched" in printed
    hub.put("me/old", {"pytorch_model.bin": b"cos\nsystem\n", "net.pt": b"."})
    message = refused("predict", PHOTO, "--segmenter", "hub:me/old", "--out", "masks")
    assert "holds no .safetensors file; it holds net.pt, pytorch_model.bin" in message
    assert "pickles, which are never fetched" in message
    message = refused("predict", PHOTO, "--segmenter", "hub:me/old/net.pt", "--out", "masks")
    assert "only .safetensors files are fetched from the hub, never pickles" in message
    assert not [where for _, where, _ in hub.asked if where.endswith((".bin", ".pt"))]


BAD = [
    *("hub:me/", "hub:/flowers", "hub:me/a--b", "hub:me/flowers@", "hub:me/flowers@../../x", "hub:me/../x"),
    *("hub:m e/f", "hub:me/flowers/../x.safetensors", "hub:me/flowers@a..b", "hub:me/x.git"),
    "hub:" + "a" * 90 + "/flowers",
]


@pytest.mark.parametrize("text", BAD)
def test_a_malformed_reference_is_one_line_with_the_right_form(hub, text):
    assert "names nothing on the hub; write hub:owner/name@revision" in refused(
        "predict", PHOTO, "--segmenter", text, "--out", "masks"
    )
    assert not hub.asked


@pytest.mark.parametrize("text", ["hub:me/f", "hub:me/f@v1.0", "hub:me/f@refs/pr/3", "hub:me/f/a b/x.safetensors@main"])
def test_references_are_read_back_as_they_are_written(text):
    assert is_reference(text)
    assert is_reference(Path(text))
    assert str(Reference.parse(text)) == str(Reference.parse(str(Path(text)))) == text


CASES = {
    "unknown repository": (
        "hub:me/none",
        "not on http://127.0.0.1:PORT for everybody to see: check the name, or log in",
    ),
    "private without a token": (
        "hub:me/private",
        "not on http://127.0.0.1:PORT for everybody to see: check the name, or",
    ),
    "unknown revision": ("hub:me/flowers@v9", "the repository has no such revision; name a branch, a tag or a commit"),
    "unknown commit": (f"hub:me/flowers@{'0' * 40}", "the repository has no such revision; name a branch"),
    "unknown file": ("hub:me/flowers/x.safetensors", "holds no x.safetensors; it holds segmenter.safetensors"),
    "gated": ("hub:me/gated", "its owner gives access on request; ask for it at http://127.0.0.1:PORT, then log in"),
    "wrong kind": (
        "hub:me/set",
        "is a file of the kind 'direction set', but the kind 'segmenter' is needed; name another",
    ),
    "several": (
        "hub:me/several",
        "holds several artefacts: a.safetensors, b.safetensors; name one, as hub:me/several/a.s",
    ),
    "empty": ("hub:me/empty", "holds no .safetensors file; it holds nothing"),
    "no artefact": ("hub:me/text", "is not a whole safetensors file"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_the_hub_has_not_is_said_in_one_line(hub, case):
    segmenter = SEGMENTER.read_bytes()
    hub.put("me/flowers", {"segmenter.safetensors": segmenter})
    hub.put("me/private", {"segmenter.safetensors": segmenter}, private=True)
    hub.put("me/gated", {"segmenter.safetensors": segmenter}, gated=True)
    hub.put("me/set", {"directions.safetensors": DIRECTIONS.read_bytes()})
    hub.put("me/several", {"a.safetensors": segmenter, "b.safetensors": segmenter})
    hub.put("me/empty", {})
    hub.put("me/text", {"segmenter.safetensors": b"no tensors at all"})
    name, expected = CASES[case]
    message = refused("predict", PHOTO, "--segmenter", name, "--out", "masks")
    assert expected.replace("PORT", hub.address.rpartition(":")[2]) in message
    assert not Path("masks").exists()


FAULTS = {
    "rate limit": (
        "GET /api",
        (429, {"Retry_After": "7"}),
        "has had too many requests (HTTP 429); repeat the command in 7 s",
    ),
    "down": ("GET /api", (503, {}), "answers HTTP 503 (as asked); repeat the command later"),
    "another server": ("GET /api", "page", "does not answer as the hub does; check HF_ENDPOINT"),
    "no hub's headers": ("HEAD /me", (200, {}), "does not answer as the hub does; check HF_ENDPOINT"),
    "damaged on the way": (
        f"GET /{sha256_of(SEGMENTER)}",
        "damage",
        "is not what the hub has; it is damaged: delete it",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_goes_wrong_on_the_way_is_said_in_one_line(hub, fault):
    hub.put("me/flowers", {"segmenter.safetensors": SEGMENTER.read_bytes()})
    part, answer, expected = FAULTS[fault]
    hub.faults[part] = answer
    assert expected in refused("predict", PHOTO, "--segmenter", "hub:me/flowers", "--out", "masks")


def test_no_network_is_said_in_one_line(hub, offline):
    hub.close()
    message = refused("predict", PHOTO, "--segmenter", "hub:me/flowers", "--out", "masks")
    assert f"cannot reach {hub.address} (" in message
    offline()
    message = refused("predict", PHOTO, "--segmenter", "hub:me/flowers", "--out", "masks")
    assert message == (
        "hub:me/flowers is not in the cache, and HF_HUB_OFFLINE forbids asking the hub; fetch it once with a network"
    )


def test_a_cache_that_was_damaged_is_refused(hub):
    hub.put("me/flowers", {"segmenter.safetensors": SEGMENTER.read_bytes()})
    path = fetching.located("hub:me/flowers", "segmenters")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.resolve().write_bytes(content)
    for _ in ("while it is in use", "in a new process"):
        message = refused("predict", PHOTO, "--segmenter", "hub:me/flowers", "--out", "masks")
        assert message.startswith(f"hub:me/flowers: {path.resolve()} is not what the hub has; it is damaged: delete it")
        a_new_process()
    path.resolve().unlink()
    ran("predict", PHOTO, "--segmenter", "hub:me/flowers", "--out", "masks")


def test_a_private_repository_is_read_with_the_token_which_nobody_else_sees(hub, monkeypatch, tmp_path):
    hub.put("me/private", {"segmenter.safetensors": SEGMENTER.read_bytes()}, private=True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    printed = ran("predict", PHOTO, "--segmenter", "hub:me/private", "--out", "masks")
    assert TOKEN not in printed
    stored = [where for _, where, known in hub.asked if sha256_of(SEGMENTER) in where and known]
    assert stored == []  # the other host that keeps big files
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    a_new_process()
    message = refused("predict", PHOTO, "--segmenter", "hub:me/none", "--out", "masks")
    assert "does not take the token; log in with hf auth login, or set HF_TOKEN anew" in message
    assert "hf_another" not in message


def test_without_the_extra_one_line_says_how_to_install_it(hub, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    needs = "needs the hub extra: pip install 'latent-segmentation-toolkit[hub]'"
    assert needs in refused("predict", PHOTO, "--segmenter", "hub:me/flowers", "--out", "masks")
    assert needs in refused("share", SEGMENTER, "hub:me/flowers")


def test_a_module_of_ones_own_may_be_called_hub(hub, monkeypatch):
    Path("hub.py").write_text("def make():\n    from own_package.discs import make\n    return make(32)\n")
    assert "wrote" in ran("sample", "--generator", "hub:make", "--samples", "1", "--out", "x.png")


@pytest.mark.parametrize("name", ["hub:", "hub:flowers"])
def test_a_reference_without_an_owner_is_refused_where_no_code_is_meant(hub, name):
    assert "names nothing on the hub" in refused("predict", PHOTO, "--segmenter", name, "--out", "masks")
    with pytest.raises(UserError, match="names nothing on the hub"):
        toolkit.open_directions(name)


def shared(monkeypatch, *words: object) -> str:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return ran("share", *words)


@pytest.mark.parametrize(
    ("path", "role"),
    [(SEGMENTER, "segmenter"), (DIRECTIONS, "directions"), (GENERATOR, "generator"), (ENCODER, "encoder")],
)
def test_what_is_shared_is_used_elsewhere_as_its_card_says(hub, monkeypatch, tmp_path, path, role):
    printed = shared(monkeypatch, path, f"hub:me/{role}", "--license", "mit", "--message", "First of all")
    assert TOKEN not in printed
    held = hub.files(f"me/{role}")
    assert sorted(held) == ["README.md", f"{role}.safetensors"]
    assert held[f"{role}.safetensors"] == path.read_bytes()
    assert hub.repositories[f"me/{role}"].messages == ["First of all"]
    card = huggingface_hub.ModelCard(held["README.md"].decode())
    assert card.data.license == "mit"
    assert card.data.library_name == "latent-segmentation-toolkit"
    assert sha256_of(path) in card.text
    a_new_process()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "another-cache"))
    monkeypatch.delenv("HF_TOKEN")
    (Path("MY_PHOTOS")).mkdir()
    (Path("MY_PHOTOS") / "flower.jpg").write_bytes(PHOTO.read_bytes())
    (shell,) = [block for block in card.text.split("```") if block.startswith("bash")]
    lines = [line.split()[1:] for line in shell.splitlines() if line.startswith("toolkit")]
    assert lines
    for words in lines:
        if words[0] not in ("browse", "discover"):  # the one waits for ever, the other long
            ran(*words)
    assert f"me/{role}" in " ".join(map(str, lines))
    assert not [where for _, where, _ in hub.asked if "xet" in where]


def test_a_run_folder_is_shared_without_paths_of_this_machine(hub, monkeypatch):
    gan = Path("gan/generator.safetensors").resolve()
    gan.parent.mkdir()
    gan.write_bytes(GENERATOR.read_bytes())
    ran(
        "discover", "--generator", gan, "--method", "ganspace", "--directions", "2", "--samples", "64", "--out", "found"
    )
    printed = shared(monkeypatch, "found", "hub:me/found", "--private")
    assert f"note: paths of this machine are shortened: {gan}" in printed
    assert hub.repositories["me/found"].private
    for content in hub.files("me/found").values():
        assert str(gan.parent).encode() not in content
    message = refused("render-gif", "hub:me/found", "--direction", "0", "--out", "x.gif")
    assert "generator.safetensors, is not here; give --generator FILE" in message
    ran("render-gif", "hub:me/found", "--generator", gan, "--direction", "0", "--frames", "2", "--samples", "1",
        "--out", "x.gif")  # fmt: skip


def test_a_dry_run_shows_everything_and_asks_nobody(hub):
    printed = ran("share", SEGMENTER, "hub:me/flowers", "--dry-run")
    assert "pipeline_tag: image-segmentation" in printed
    assert re.search(r"would share segmenter.safetensors \(\d\.?\d* MB\), README.md", printed)
    assert "nothing was asked or sent" in printed
    assert not hub.asked


def test_sharing_again_changes_nothing_and_keeps_a_card_of_ones_own(hub, monkeypatch):
    first = shared(monkeypatch, SEGMENTER, "hub:me/flowers")
    assert f"for ever hub:me/flowers/segmenter.safetensors@{hub.repositories['me/flowers'].sha(1)}" in first
    assert "there already: " in shared(monkeypatch, SEGMENTER, "hub:me/flowers")
    assert len(hub.repositories["me/flowers"].commits) == 2
    hub.put("me/flowers", {"README.md": b"---\nlicense: mit\n---\nmy own words"})
    printed = shared(monkeypatch, SEGMENTER, "hub:me/flowers", "--license", "mit")
    assert "note: the README.md of me/flowers is somebody's own, and is left as it is" in printed
    assert hub.files("me/flowers")["README.md"].endswith(b"my own words")


def test_what_is_made_from_the_hub_names_its_base(hub, monkeypatch):
    hub.put("me/flowers", {"segmenter.safetensors": SEGMENTER.read_bytes()})
    Segmenter.load("hub:me/flowers").save(Path("copy.safetensors"))
    shared(monkeypatch, "copy.safetensors", "hub:me/copy", "--license", "mit")
    assert huggingface_hub.ModelCard(hub.files("me/copy")["README.md"].decode()).data.base_model == "me/flowers"


REFUSED = {
    "without a token": ({}, ("hub:me/new",), "sharing needs a token of http"),
    "public already": (
        {"HF_TOKEN": TOKEN},
        ("hub:me/there", "--private"),
        "is public already, and stays so; share under another name",
    ),
    "unknown branch": ({"HF_TOKEN": TOKEN}, ("hub:me/there@other",), "has no such revision; name a branch"),
    "malformed": ({"HF_TOKEN": TOKEN}, ("me/new",), "names nothing on the hub; write hub:owner/name@revision"),
    "no licence": (
        {"HF_TOKEN": TOKEN},
        ("hub:me/new", "--license", "My Own"),
        "--license My Own is none of the hub's names",
    ),
    "a token of others": ({"HF_TOKEN": "hf_another"}, ("hub:me/new",), "does not take the token; log in"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_shared_is_refused_and_nothing_changes(hub, monkeypatch, case):
    hub.put("me/there", {"notes.txt": b"."})
    environment, words, expected = REFUSED[case]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert expected in refused("share", SEGMENTER, *words)
    assert list(hub.repositories) == ["me/there"]
    assert list(hub.files("me/there")) == ["notes.txt"]


def test_a_token_that_may_only_read_is_said_to(hub, monkeypatch):
    hub.put("me/there", {"notes.txt": b"."})
    hub.faults["POST /api/models/me/there/preupload"] = (403, {"X_Error_Message": "this token is for reading"})
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    message = refused("share", SEGMENTER, "hub:me/there")
    assert "the token may not do that (this token is for reading" in message


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("photo.jpg", "is no artefact of this toolkit"),
        ("nothing", "no artefact at nothing"),
        ("several", "name one of"),
    ],
)
def test_only_an_artefact_is_shared(hub, name, expected):
    Path("photo.jpg").write_bytes(PHOTO.read_bytes())
    Path("several").mkdir()
    for file in ("segmenter", "generator"):
        Path(f"several/{file}.safetensors").write_bytes(SEGMENTER.read_bytes())
    assert expected in refused("share", name, "hub:me/new", "--dry-run")


def test_the_libraries_own_environment_is_heeded(hub, tmp_path, monkeypatch):
    hub.put("me/flowers", {"segmenter.safetensors": SEGMENTER.read_bytes()})
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    Segmenter.load("hub:me/flowers")
    asked = len(hub.asked)
    here = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    environment = {**os.environ, **here, "PYTHONPATH": str(Path(__file__).parent.parent)}
    line = "import sys; from toolkit.hub.fetching import fetched; print(fetched('hub:me/flowers').reference)"
    words = [sys.executable, "-c", f"{line}; assert 'torch' not in sys.modules"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == fetching.pinned("hub:me/flowers", "segmenters"), done.stderr
    assert len(hub.asked) == asked


def test_shells_complete_what_is_in_the_cache(hub):
    from cli.inputs.completion import generators
    from cli.inputs.options import SegmenterOption

    hub.put("me/flowers", {"segmenter.safetensors": SEGMENTER.read_bytes(), "config.json": b"{}"})
    assert "hub:me/flowers" not in generators()
    Segmenter.load("hub:me/flowers")
    assert "hub:me/flowers" in generators()
    assert "hub:me/flowers" in SegmenterOption.__metadata__[0].autocompletion()


def test_training_starts_from_a_generator_on_the_hub(hub):
    commit = hub.put("me/gan", {"generator.safetensors": GENERATOR.read_bytes()})
    Path("photos").mkdir()
    for number in range(8):
        Path(f"photos/{number}.jpg").write_bytes(PHOTO.read_bytes())
    printed = ran("train-generator", "photos", "--start", "hub:me/gan", "--out", "run", "--steps", "1", "--batch", "8")
    assert "taking the weights of network, average from hub:me/gan/generator.safetensors@" in printed
    assert json.loads(Path("run/run.json").read_text())["inputs"]["start"].endswith(commit)
