"""Published files by name: the table, the cache, checksums, and the commands that use them."""

import hashlib
import io
import json
import re
import shlex
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from cli_runs import ran, refused
from mirror import Mirror, ranged, redirect, status, whole
from platformdirs.macos import MacOS
from platformdirs.unix import Unix
from platformdirs.windows import Windows
from test_biggan import TINY, filled
from typer.testing import CliRunner

from cli.app import app
from discovery.opening import open_directions
from generators.catalogue import open_generator, weights_file
from generators.protocol import load_latents
from segmentation.predict.segmenter import Segmenter
from segmentation.unet.network import UNet
from toolkit.directions import Choice
from toolkit.errors import UserError
from toolkit.files import places
from toolkit.files.fetch import Transfer
from toolkit.files.partial_file import PartialFile
from toolkit.files.places import cache_folder, settings_folder
from toolkit.files.published import ROLES, cached, find, is_offline, published, pull
from toolkit.files.shipped import or_published
from toolkit.files.unpacking import unpack

CONTENT = bytes(range(256)) * 4


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("TOOLKIT_CACHE", str(folder))
    return folder


@pytest.fixture
def mirror(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Mirror()
    yield server
    server.close()


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Return a writer of TOOLKIT_WEIGHTS: table(name=..., key=value ...)."""

    def write(name="z-cub", **values):
        lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        (tmp_path / "own.toml").write_text("\n".join([f"[{name}]", *lines, ""]))
        monkeypatch.setenv("TOOLKIT_WEIGHTS", str(tmp_path / "own.toml"))

    return write


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


NVIDIA = [
    *(f"stylegan2-{what}" for what in ("ffhq", "metfaces", "cats", "dogs", "wild", "cifar10", "ffhq-256")),
    *(f"stylegan3-{kind}-{what}" for kind in "tr" for what in ("ffhqu-256", "ffhq", "afhqv2")),
]


def test_the_list_says_under_which_licence_each_file_is():
    lines = ran("weights", "list").splitlines()
    assert any("stylegan3-t-ffhq" in line and "NVIDIA, non-commercial" in line for line in lines)
    assert any("z-cub" in line and "none stated" in line for line in lines)
    assert {find(name).licence for name in NVIDIA} == {"NVIDIA, non-commercial"}
    assert all("not commercially" in find(name).terms for name in NVIDIA)


def test_the_table_names_the_published_files():
    names = {role: [entry.name for entry in published().values() if entry.role == role] for role in ROLES}
    assert names == {
        "generator": ["bigbigan", *NVIDIA, "biggan-deep-128", "biggan-deep-256", "biggan-deep-512"],
        "direction": ["bg-direction"],
        "embeddings": ["z-imagenet", "z-cub", "z-duts", "z-flowers"],
        "segmenter": ["unet-imagenet", "unet-cub", "unet-flowers"],
        "archive": ["saliency-data", "mnist", "anime", "biggan", "proggan", "stylegan2"],
        "module": ["bigbigan-resnet50", "bigbigan-revnet50x4"],
    }


def test_no_two_files_share_a_place_and_dropbox_sends_files_not_pages():
    entries = published().values()
    assert len({entry.file for entry in entries}) == len(entries)
    addresses = [address for entry in entries for address in entry.mirrors]
    assert all(address.startswith("https://") for address in addresses)
    assert all(address.endswith("?dl=1") == ("dropbox" in address) for address in addresses)


@pytest.mark.parametrize("name", [entry.name for entry in published().values() if entry.next.startswith("toolkit")])
def test_the_command_that_comes_next_exists(name):
    words = shlex.split(find(name).next)
    command = typer.main.get_command(app).commands[words[1]]
    known = {flag for parameter in command.params for flag in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize(
    ("convention", "variables", "cache", "settings"),
    [
        (Unix, {}, "/home/me/.cache", "/home/me/.config"),
        (Unix, {"XDG_CACHE_HOME": "/big", "XDG_CONFIG_HOME": "/own"}, "/big", "/own"),
        (MacOS, {}, "/home/me/Library/Caches", "/home/me/Library/Application Support"),
        (Windows, {}, "/home/me/AppData/Local", "/home/me/AppData/Roaming"),
    ],
)
def test_folders_follow_the_platform(convention, variables, cache, settings, monkeypatch):
    for name in ("TOOLKIT_CACHE", "TOOLKIT_SETTINGS", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    own = {"CSIDL_LOCAL_APPDATA": "/home/me/AppData/Local", "CSIDL_APPDATA": "/home/me/AppData/Roaming"}
    monkeypatch.setattr("platformdirs.windows.get_win_folder", own.get)
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(places, "_folders", lambda: convention(**places.CONVENTIONS))
    assert cache_folder() == Path(cache) / "latent-segmentation-toolkit"
    assert settings_folder() == Path(settings) / "latent-segmentation-toolkit"


def test_a_cache_from_before_xdg_was_heeded_on_macos_is_used_on(monkeypatch, tmp_path):
    monkeypatch.delenv("TOOLKIT_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "big"))
    monkeypatch.setattr("sys.platform", "darwin")
    name = "latent-segmentation-toolkit"
    assert cache_folder() == tmp_path / "big" / name
    (tmp_path / "Library" / "Caches" / name).mkdir(parents=True)
    assert cache_folder() == tmp_path / "Library" / "Caches" / name


def test_the_cache_can_be_chosen(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("TOOLKIT_CACHE", "~/weights")
    assert cache_folder() == Path("/home/me/weights")
    assert find("z-cub").path == Path("/home/me/weights/BigBiGAN_CUB_train_z.npy")


@pytest.mark.parametrize(
    ("value", "offline"), [("", False), ("0", False), ("no", False), ("False", False), ("1", True), ("yes", True)]
)
def test_offline_by_variable(value, offline, monkeypatch):
    monkeypatch.setenv("TOOLKIT_OFFLINE", value)
    assert is_offline() is offline


def test_own_mirrors_replace_the_published_ones(table):
    before = find("z-cub")
    table(mirrors=["https://mirror.example/z.npy"])
    after = find("z-cub")
    assert after.mirrors == ("https://mirror.example/z.npy",)
    assert (after.file, after.role, after.next) == (before.file, before.role, before.next)
    assert find("z-duts").mirrors[0].startswith("https://www.dropbox.com")


def test_own_files_are_added(table):
    table("z-ours", role="embeddings", file="z.npy", mirrors=["http://a.org/z"], terms="ours", next="toolkit pick d")
    assert find("z-ours").role == "embeddings"


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"mirror": "https://a.org"}, "mirror"),
        ({"mirrors": "https://a.org/z"}, "mirrors are not all http or https addresses"),
        ({"mirrors": ["file:///z"]}, "mirrors are not all http or https addresses"),
        ({"mirrors": []}, "neither mirrors nor a page"),
        ({"file": "../z.npy"}, "file is '../z.npy', not a bare file name"),
        ({"role": "latents"}, "role is 'latents', not one of generator"),
        ({"megabytes": "5"}, "megabytes is no number"),
        ({"sha256": "abc"}, "sha256 is not 64 hexadecimal digits"),
    ],
)
def test_mistakes_in_ones_own_table(values, problem, table, tmp_path):
    table(**values)
    message = refused("weights", "list")
    assert message.startswith(f"{tmp_path / 'own.toml'}: [z-cub] ")
    assert problem in message


def test_a_table_of_ones_own_that_is_missing_or_none(tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLKIT_WEIGHTS", str(tmp_path / "none.toml"))
    assert "none.toml" in refused("weights", "list")
    (tmp_path / "none.toml").write_text("z-cub = 3\n")
    assert "[z-cub] is not a table of name, role" in refused("weights", "list")


def test_pull_downloads_once(mirror, table, cache):
    table(mirrors=[mirror.serve("z", whole(CONTENT))])
    printed = ran("weights", "pull", "z-cub")
    path = cache / "BigBiGAN_CUB_train_z.npy"
    assert path.read_bytes() == CONTENT
    assert f"wrote {path} (0.001 MB)" in printed
    assert "next: toolkit segment bg-direction --embeddings z-cub" in printed
    assert "published without a licence" in printed
    assert names(cache) == [path.name, f"{path.name}.json"]
    assert json.loads((cache / f"{path.name}.json").read_text())["sha256"] == sha256(CONTENT)
    assert f"{path} is there already" in ran("weights", "pull", "z-cub")
    assert len(mirror.asked) == 1
    assert ran("weights", "path", "z-cub").strip() == str(path)


def test_several_are_pulled_in_turn_and_unknown_names_before_any(mirror, table, cache):
    table(mirrors=[mirror.serve("z", whole(CONTENT))])
    assert "no published file 'z-cup'; choose from bigbigan, bg-direction" in refused(
        "weights", "pull", "z-cub", "z-cup"
    )
    assert mirror.asked == []
    assert ran("weights", "pull", "z-cub", "z-cub").count("next:") == 2


def page(content=b"<html></html>"):
    return whole(content, kind="text/html")


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (status(404), "HTTP 404 Not Found"),
        (page(), "it sent a web page instead of the file"),
        (redirect("/z"), "HTTP 302 it redirects without end"),
        (whole(CONTENT[::-1]), "it sent another file"),
        (whole(b""), "it sent an empty file"),
    ],
    ids=["404", "page", "loop", "wrong bytes", "empty"],
)
def test_what_cannot_be_pulled_is_one_line_and_leaves_nothing(answer, line, mirror, table, cache):
    address = mirror.serve("z", answer)
    table(mirrors=[address], sha256=sha256(CONTENT))
    message = refused("weights", "pull", "z-cub")
    assert message.startswith(f"cannot download BigBiGAN_CUB_train_z.npy ({address}: {line}")
    assert message.endswith(f"get {address} by hand and save it as {cache / 'BigBiGAN_CUB_train_z.npy'}")
    assert names(cache) == []


def test_ctrl_c_keeps_what_came(mirror, table, cache, monkeypatch):
    table(mirrors=[mirror.serve("z", ranged(CONTENT, sent=400), ranged(CONTENT))])
    append = PartialFile.append

    def append_and_stop(part, chunk):
        append(part, chunk)
        raise KeyboardInterrupt

    monkeypatch.setattr(PartialFile, "append", append_and_stop)
    stopped = CliRunner().invoke(app, ["weights", "pull", "z-cub"])
    assert stopped.exit_code == 130
    assert "stopped; rerun the command to resume" in stopped.output
    assert re.search(r"z-cub +embeddings +unknown +0 MB of it", ran("weights", "list"))
    monkeypatch.setattr(PartialFile, "append", append)
    ran("weights", "pull", "z-cub")
    assert mirror.ranges("z") == [None, "bytes=400-"]
    assert (cache / "BigBiGAN_CUB_train_z.npy").read_bytes() == CONTENT


@pytest.mark.parametrize("by", ["flag", "variable"])
def test_offline_says_what_to_do_by_hand(by, mirror, table, cache, monkeypatch):
    address = mirror.serve("z", whole(CONTENT))
    table(mirrors=[address])
    if by == "variable":
        monkeypatch.setenv("TOOLKIT_OFFLINE", "1")
    message = refused("weights", "pull", "z-cub", *(["--offline"] if by == "flag" else []))
    path = cache / "BigBiGAN_CUB_train_z.npy"
    assert message == f"z-cub is not in the cache and downloads are off; get {address} by hand and save it as {path}"
    assert mirror.asked == []
    cache.mkdir()
    path.write_bytes(CONTENT)  # by hand
    assert "is there already" in ran("weights", "pull", "z-cub", "--offline")


def test_a_file_that_changed_in_the_cache_is_refused_and_pulled_again(mirror, table, cache):
    table(mirrors=[mirror.serve("z", whole(CONTENT))])
    ran("weights", "pull", "z-cub")
    path = cache / "BigBiGAN_CUB_train_z.npy"
    path.write_bytes(CONTENT[:-1])
    message = refused("weights", "path", "z-cub")
    assert f"{path} is not what it was" in message
    assert f"{sha256(CONTENT)} is expected" in message
    assert "is not what it was" in ran("weights", "pull", "z-cub")
    assert path.read_bytes() == CONTENT


def test_a_mirror_that_changed_since_the_first_use_is_refused(mirror, table, cache):
    table(mirrors=[mirror.serve("z", whole(CONTENT), whole(CONTENT[::-1]))])
    ran("weights", "pull", "z-cub")
    (cache / "BigBiGAN_CUB_train_z.npy").unlink()
    assert "it sent another file" in refused("weights", "pull", "z-cub")
    assert names(cache) == ["BigBiGAN_CUB_train_z.npy.json"]


def test_a_file_put_there_by_hand_is_remembered_at_its_first_use(cache):
    cache.mkdir()
    path = cache / "BigBiGAN_CUB_train_z.npy"
    path.write_bytes(CONTENT)
    assert cached(find("z-cub")) == path
    path.write_bytes(CONTENT[::-1])
    with pytest.raises(UserError, match="is not what it was"):
        cached(find("z-cub"))


def test_the_checksum_of_the_table_comes_first(cache, table):
    table(sha256=sha256(CONTENT))
    cache.mkdir()
    (cache / "BigBiGAN_CUB_train_z.npy").write_bytes(CONTENT[::-1])
    with pytest.raises(UserError, match=f"{sha256(CONTENT)} is expected"):
        cached(find("z-cub"))
    assert names(cache) == ["BigBiGAN_CUB_train_z.npy"]


def test_a_record_that_is_none(cache):
    cache.mkdir()
    (cache / "BigBiGAN_CUB_train_z.npy").write_bytes(CONTENT)
    for text in ('{"sha256": 3}', "[]", "{}"):
        (cache / "BigBiGAN_CUB_train_z.npy.json").write_text(text)
        assert "holds no SHA-256; delete it" in refused("weights", "path", "z-cub")


def test_a_cache_that_cannot_be_written_serves_all_the_same(cache, monkeypatch):
    cache.mkdir()
    (cache / "BigBiGAN_CUB_train_z.npy").write_bytes(CONTENT)

    def read_only(path, value):
        raise UserError("cannot write")

    monkeypatch.setattr("toolkit.files.published.write_json", read_only)
    assert cached(find("z-cub")) == cache / "BigBiGAN_CUB_train_z.npy"


def test_modules_are_got_by_hand(cache):
    message = refused("weights", "pull", "bigbigan-resnet50")
    assert "get https://tfhub.dev/deepmind/bigbigan-resnet50/1 by hand" in message
    assert f"unpack it as {cache / 'bigbigan-resnet50'}" in message
    (cache / "bigbigan-resnet50").mkdir(parents=True)
    assert f"next: toolkit convert {cache / 'bigbigan-resnet50'}" in ran("weights", "pull", "bigbigan-resnet50")


def test_the_list_tells_what_is_there(cache):
    cache.mkdir()
    (cache / "u_net_cub2002011.pth").write_bytes(bytes(2_500_000))
    printed = ran("weights", "list")
    assert re.search(r"bigbigan +generator +282 MB +no +none stated +BigBiGAN_x1\.pth", printed)
    assert re.search(r"unet-cub +segmenter +2\.5 MB +yes ", printed)
    assert re.search(r"bigbigan-resnet50 +module +unknown +by hand ", printed)
    assert f"cache: {cache}" in printed


def test_the_group_alone_shows_its_commands():
    printed = ran("weights")
    assert all(command in printed for command in ("list", "pull", "path"))
    assert "No such command" in refused("weights", "fetch")


def test_bigbigan_needs_no_weights_once_they_are_in_the_cache(cache):
    assert weights_file("bigbigan") is None
    with pytest.raises(UserError, match=r"needs its weights; run toolkit weights pull bigbigan \(282 MB\), or get "):
        open_generator("bigbigan")
    cache.mkdir()
    torch.save(filled(TINY), cache / "BigBiGAN_x1.pth")
    assert weights_file("bigbigan") == cache / "BigBiGAN_x1.pth"
    assert open_generator("bigbigan").latent_dim == 12


def test_a_published_direction_is_opened_by_name(cache):
    with pytest.raises(UserError, match="bg-direction is not in the cache; run toolkit weights pull bg-direction"):
        open_directions(Path("bg-direction"))
    cache.mkdir()
    torch.save(torch.tensor([3.0, 4.0]), cache / "bg_direction.pth")
    for path in (Path("bg-direction"), cache / "bg_direction.pth"):
        found = open_directions(path)
        assert (found.generator, found.names, found.choice) == ("bigbigan", ("background",), Choice(0, 1, 25.0))
        torch.testing.assert_close(found.chosen_shift(), torch.tensor([15.0, 20.0]))  # 5 times the tensor


def test_a_published_segmenter_is_opened_by_name(cache, tmp_path):
    (tmp_path / "photo.jpg").touch()
    message = refused("predict", tmp_path / "photo.jpg", "--segmenter", "unet-flowers", "--out", tmp_path / "out")
    assert message.startswith("unet-flowers is not in the cache; run toolkit weights pull unet-flowers (54 MB), or get")
    cache.mkdir()
    torch.save(UNet(width=4).state_dict(), cache / "u_net_flowers.pth")
    assert Segmenter.load("unet-flowers").network.width == 4


def test_published_embeddings_are_opened_by_name(cache):
    with pytest.raises(UserError, match="z-cub is not in the cache; run toolkit weights pull z-cub"):
        or_published(Path("z-cub"), "embeddings")
    cache.mkdir()
    np.save(cache / "BigBiGAN_CUB_train_z.npy", np.zeros((3, 5), np.float32))
    assert load_latents(or_published(Path("z-cub"), "embeddings"), 5).shape == (3, 5)


def test_embeddings_by_name_reach_segment(tmp_path):
    message = refused("segment", "flowers64", "--embeddings", "z-cub", "--out", tmp_path / "s")
    assert "toolkit weights pull z-cub (size unknown)" in message
    assert not (tmp_path / "s").exists()


def test_names_of_another_role_and_files_of_ones_own_stay_paths(tmp_path, monkeypatch):
    assert or_published(Path("unet-cub"), "embeddings") == Path("unet-cub")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "z-cub").touch()
    assert or_published(Path("z-cub"), "embeddings") == Path("z-cub")


def test_offline_commands_say_what_to_do_by_hand(monkeypatch, cache):
    monkeypatch.setenv("TOOLKIT_OFFLINE", "1")
    with pytest.raises(UserError) as caught:
        or_published(Path("z-cub"), "embeddings")
    address = find("z-cub").mirrors[0]
    place = cache / "BigBiGAN_CUB_train_z.npy"
    assert str(caught.value) == f"z-cub is not in the cache; get {address} by hand and save it as {place}"


def test_pull_as_a_library(mirror, table, cache):
    table(mirrors=[mirror.serve("z", status(503), whole(CONTENT))])
    waits = []
    assert pull(find("z-cub"), Transfer(sleep=waits.append)).read_bytes() == CONTENT
    assert waits == [1]


def tarred(path, members, mode="w"):
    with tarfile.open(path, mode) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content or b""))
    return path.read_bytes()


def test_an_archive_is_unpacked_and_its_deformator_named(mirror, monkeypatch, cache, tmp_path):
    members = {
        "pretrained/generators/SN_Anime/args.json": b"{}",
        "pretrained/deformators/SN_Anime/args.json": b"{}",
        "pretrained/deformators/SN_Anime/models/deformator_9.pt": b"weights",
    }
    address = mirror.serve("a", whole(tarred(tmp_path / "a.tar", members)))
    (tmp_path / "own.toml").write_text(f'[anime]\nmirrors = ["{address}"]\n')
    monkeypatch.setenv("TOOLKIT_WEIGHTS", str(tmp_path / "own.toml"))
    folder = cache / "pretrained_anime"
    deformator = folder / "pretrained" / "deformators" / "SN_Anime"
    for _ in range(2):
        assert f"next: toolkit pick {deformator} --out directions" in ran("weights", "pull", "anime")
    assert (deformator / "models" / "deformator_9.pt").read_bytes() == b"weights"
    assert names(cache) == ["pretrained_anime", "pretrained_anime.tar", "pretrained_anime.tar.json"]


def test_a_folder_of_an_archive_is_quoted_where_a_line_is_to_be_copied(mirror, monkeypatch, cache, tmp_path):
    inner = "it; touch here"
    members = {f"{inner}/args.json": b"{}", f"{inner}/models/deformator_9.pt": b"weights"}
    address = mirror.serve("a", whole(tarred(tmp_path / "a.tar", members)))
    (tmp_path / "own.toml").write_text(f'[anime]\nmirrors = ["{address}"]\n')
    monkeypatch.setenv("TOOLKIT_WEIGHTS", str(tmp_path / "own.toml"))
    assert f"next: toolkit pick '{cache}/pretrained_anime/{inner}' --out directions" in ran("weights", "pull", "anime")


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside", "link"])
def test_an_archive_that_leads_out_of_its_folder_is_not_unpacked(tmp_path, name):
    tarred(tmp_path / "a.tar", {"fine": b"1", name: None if name == "link" else b"2"})
    with pytest.raises(UserError, match="no plain file inside it"):
        unpack(tmp_path / "a.tar", tmp_path / "a")
    assert names(tmp_path) == ["a.tar"]


def test_a_damaged_archive_leaves_nothing(tmp_path):
    content = tarred(tmp_path / "a.tar", {"fine": bytes(5000), "more": bytes(5000)})
    (tmp_path / "a.tar").write_bytes(content[:3000])
    with pytest.raises(UserError, match="is not a whole tar archive"):
        unpack(tmp_path / "a.tar", tmp_path / "a")
    assert names(tmp_path) == ["a.tar"]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_whole_archive_is_unpacked(tmp_path, mode):
    tarred(tmp_path / "a.tar", {"fine": bytes(5000), "more": b"2"}, mode)
    assert names(unpack(tmp_path / "a.tar", tmp_path / "a")) == ["fine", "more"]


# Two members, each of a header and one block: cut before the second, in its header, after it, in the mark of the end.
@pytest.mark.parametrize("length", [1024, 1300, 2048, 2560, 3071])
def test_an_archive_without_its_end_is_not_whole(tmp_path, length):
    content = tarred(tmp_path / "a.tar", {"fine": b"1", "more": b"2"})
    (tmp_path / "a.tar").write_bytes(content[:length])
    with pytest.raises(
        UserError, match=r"a\.tar is not a whole tar archive \(its end is missing\); delete it and pull"
    ):
        unpack(tmp_path / "a.tar", tmp_path / "a")
    assert names(tmp_path) == ["a.tar"]


def test_an_archive_with_a_damaged_header_is_not_whole(tmp_path):
    content = bytearray(tarred(tmp_path / "a.tar", {"fine": b"1", "more": b"2"}))
    content[1024] ^= 1
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(UserError, match="is not a whole tar archive"):
        unpack(tmp_path / "a.tar", tmp_path / "a")
    assert names(tmp_path) == ["a.tar"]


def test_sample_takes_published_latents_by_name(cache, tmp_path):
    arguments = ("sample", "--latents", "z-cub", "--out", tmp_path / "x.png")
    assert "z-cub is not in the cache; run toolkit weights pull z-cub" in refused(*arguments)
    cache.mkdir()
    np.save(cache / "BigBiGAN_CUB_train_z.npy", np.zeros((2, 64), np.float32))
    assert "2 images of flowers64" in ran(*arguments)


def test_what_a_pull_killed_at_its_end_has_left_goes(mirror, table, cache):
    table(mirrors=[mirror.serve("w", whole(CONTENT))])
    ran("weights", "pull", "z-cub")
    before = names(cache)
    file = find("z-cub").file
    (cache / f"{file}.part.json").write_text("{}")
    (cache / f".{file}.lock").touch()
    (cache / ".0123456789ab.tmp").mkdir()
    assert "is there already" in ran("weights", "pull", "z-cub")
    assert names(cache) == before
