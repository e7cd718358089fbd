"""Settings: every impossible value is refused with a line that says what to do; TOML reads back as written."""

import dataclasses
import math
from typing import ClassVar

import pytest

from discovery.settings import DiscoverySettings
from generators.compact.settings import GeneratorSettings
from generators.encoder.settings import EncoderSettings
from segmentation.unet.settings import SegmentationSettings
from toolkit.command_line import as_flags
from toolkit.errors import OUT, Line, UserError, named
from toolkit.settings import Settings, read_toml, setting


@dataclasses.dataclass(frozen=True)
class Example(Settings):
    kind: ClassVar[str] = "example"

    steps: int = setting(10, "steps to take", minimum=1, maximum=1000)
    rate: float = setting(0.1, "learning rate", above=0)
    share: float = setting(0.5, "share of something", minimum=0, maximum=1)
    bound: float | None = setting(None, "bound on the latents", above=0)
    rows: int | None = setting(None, "rows, all if not set", minimum=1)
    rule: str = setting("soft", "how it is done", choices=("soft", "hard"))
    label: str = setting("x", "a word of one's own")
    flip: bool = setting(True, "whether to flip")


def refusal(**values) -> str:
    with pytest.raises(UserError) as caught:
        Example(**values)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"steps": 0}, "steps is 0, but has to be at least 1"),
        ({"steps": 1001}, "steps is 1001, but has to be at most 1000"),
        ({"rate": 0.0}, "rate is 0.0, but has to be more than 0"),
        ({"rate": -1}, "rate is -1.0, but has to be more than 0"),
        ({"rate": math.nan}, "rate is nan, but has to be a finite number"),
        ({"rate": math.inf}, "rate is inf, but has to be a finite number"),
        ({"bound": math.nan}, "bound is nan, but has to be a finite number"),
        ({"bound": 0.0}, "bound is 0.0, but has to be more than 0"),
        ({"rows": 0}, "rows is 0, but has to be at least 1"),
        ({"share": 1.5}, "share is 1.5, but has to be at most 1"),
        ({"rule": "firm"}, "rule is 'firm'; choose one of soft, hard"),
    ],
)
def test_out_of_range(values, text):
    assert refusal(**values) == text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"steps": "ten"}, "steps is 'ten', but has to be int"),
        ({"steps": 2.5}, "steps is 2.5, but has to be int"),
        ({"steps": True}, "steps is True, but has to be int"),
        ({"steps": None}, "steps is None, but has to be int"),
        ({"rate": "0.1"}, "rate is '0.1', but has to be float"),
        ({"rate": True}, "rate is True, but has to be float"),
        ({"rows": 1.0}, "rows is 1.0, but has to be int"),
        ({"rule": 1}, "rule is 1, but has to be str"),
        ({"flip": 1}, "flip is 1, but has to be bool"),
        ({"flip": "yes"}, "flip is 'yes', but has to be bool"),
    ],
)
def test_wrong_type(values, text):
    assert refusal(**values) == text


def test_the_ends_of_a_range_belong_to_it():
    kept = Example(steps=1000, share=0.0, rate=1e-300)
    assert (kept.steps, kept.share, kept.rate) == (1000, 0.0, 1e-300)
    assert Example(share=1).share == 1.0


def test_whole_numbers_become_floats_where_floats_are_meant():
    made = Example(rate=1, bound=2)
    assert isinstance(made.rate, float)
    assert isinstance(made.bound, float)
    assert isinstance(made.steps, int)


def test_settings_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Example().steps = 3  # type: ignore[misc]


def test_unknown_names_are_listed_beside_the_known():
    with pytest.raises(UserError) as caught:
        Example.from_dict({"step": 3, "steps": 4}, "my.toml")
    assert str(caught.value).startswith("my.toml holds unknown settings step; known are steps, rate, share")


def test_missing_names_take_their_defaults():
    assert Example.from_dict({"steps": 3}) == Example(steps=3)


AWKWARD = [
    'say "no"',
    "back\\slash",
    "tab\tand\nline",
    "# no comment",
    "käse — 羊",
    "beyond the first plane: \U0001f33c",
    "delete: \x7f",
    "",
]


@pytest.mark.parametrize("label", AWKWARD)
def test_strings_survive_toml(tmp_path, label):
    Example(label=label).save(tmp_path / "config.toml")
    assert Example.from_dict(read_toml(tmp_path / "config.toml")).label == label


@pytest.mark.parametrize("rate", [1e-300, 2e-4, 1 / 3, 1.0, 1e22, 123456789.125])
def test_floats_survive_toml_to_the_last_bit(tmp_path, rate):
    Example(rate=rate).save(tmp_path / "config.toml")
    assert Example.from_dict(read_toml(tmp_path / "config.toml")).rate == rate


@pytest.mark.parametrize(
    "made", [Example(), Example(bound=0.25, rows=4, flip=False, steps=77, rule="hard"), Example(bound=None, rows=1)]
)
def test_all_values_survive_toml(tmp_path, made):
    made.save(tmp_path / "config.toml")
    assert Example.from_dict(read_toml(tmp_path / "config.toml")) == made


def test_the_file_explains_itself(tmp_path):
    Example(rate=0.5).save(tmp_path / "config.toml")
    text = (tmp_path / "config.toml").read_text()
    assert text.startswith("# example settings; run again with --config config.toml\n")
    assert "# learning rate\nrate = 0.5\n" in text
    assert "# bound on the latents\n# bound = (not set)\n" in text


def test_reading_what_is_no_toml(tmp_path):
    with pytest.raises(UserError, match=r"no TOML settings file at .*none\.toml"):
        read_toml(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("steps: 3\n")
    with pytest.raises(UserError, match=r"bad\.toml is not a TOML settings file .* lines like steps = 100"):
        read_toml(tmp_path / "bad.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not a TOML settings file"):
        read_toml(tmp_path / "bytes.toml")
    with pytest.raises(UserError, match="is a folder"):
        read_toml(tmp_path)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: GeneratorSettings(batch=9), "batch is 9, but has to be a multiple of 8"),
        (lambda: GeneratorSettings(image_size=48), "image_size is 48; choose 32, 64 or 128"),
        (lambda: GeneratorSettings(encoder_width=64), "encoder_width goes with objective=bigbigan; omit it"),
        (
            lambda: GeneratorSettings(objective="bigbigan", encoder_size=96),
            "encoder_size is 96, but has to be 64, 128 or 256: once, twice or four times image_size",
        ),
        (lambda: EncoderSettings(image_size=100), "image_size is 100, but has to be a power of two; give 64 or 128"),
        (
            lambda: SegmentationSettings(batch=8, micro_batch=9),
            "micro_batch is 9 and batch 8: nothing would be split; give a smaller micro_batch, or omit it",
        ),
        (
            lambda: DiscoverySettings(batch=8, micro_batch=9),
            "micro_batch is 9 and batch 8: nothing would be split; give a smaller micro_batch, or omit it",
        ),
        (
            lambda: SegmentationSettings(min_area=0.6),
            "min_area is 0.6 and max_area 0.5: no mask can pass; let min_area be the smaller one",
        ),
    ],
)
def test_what_would_be_replaced_silently_is_refused(made, message):
    with pytest.raises(UserError) as caught:
        made()
    assert str(caught.value) == message


def test_names_in_an_error_are_flags_on_the_command_line_and_nothing_else_is():
    error = UserError(f"{named('min_area')} in /a/`min_area`/--x; give {named('device', 'cpu')}, or another {OUT}")
    assert str(error) == "min_area in /a/`min_area`/--x; give device=cpu, or another output folder"
    assert as_flags(error.marked) == "--min-area in /a/`min_area`/--x; give --device cpu, or another --out"
    assert as_flags(Line(error.marked)) == as_flags(error.marked)
    assert Line(error.marked) == str(error)


def test_a_long_error_keeps_no_half_of_a_name():
    error = UserError("x" * 5000 + named("min_area"))
    assert len(str(error)) <= 4000
    assert error.marked == str(error)
    assert str(error).endswith("min_area")
