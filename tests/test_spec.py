import pytest

from generators.spec import Options, join_spec, split_spec
from toolkit.errors import UserError


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("flowers64", ("flowers64", {})),
        ("G_ema.pth@classes=239,12", ("G_ema.pth", {"classes": "239,12"})),
        ("scene@image_size=32@mixing_seed=0", ("scene", {"image_size": "32", "mixing_seed": "0"})),
        ("a.b:make@path=x=y", ("a.b:make", {"path": "x=y"})),
        ("/home/me@corp/G.pth@classes=2", ("/home/me@corp/G.pth", {"classes": "2"})),
        ("/home/me@corp/G.pth", ("/home/me@corp/G.pth", {})),
        ("G.pth@classes", ("G.pth@classes", {})),
        ("G.pth@classes=" + ",".join(["1"] * 1000), ("G.pth", {"classes": ",".join(["1"] * 1000)})),
    ],
)
def test_options_stand_behind_the_name(text, parts):
    assert split_spec(text) == parts
    assert join_spec(*parts) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("G.pth@classes=", "the option 'classes' of G.pth has no value; write options as G.pth@classes=value"),
        ("G.pth@a=1@a=2", "generator=G.pth gives the option 'a' twice; give it once"),
    ],
)
def test_what_is_no_option_is_refused(text, message):
    with pytest.raises(UserError) as caught:
        split_spec(text)
    assert str(caught.value).startswith(message)


def options(**values):
    return Options(values, "G.pth")


def test_options_are_read_by_kind():
    given = options(space="z", truncation="0.7", size="64", classes="3,1")
    assert given.choice("space", ("w", "z"), "w") == "z"
    assert given.number("truncation", 1.0, 0, 1) == 0.7
    assert given.integer("size", 32) == 64
    assert given.integers("classes") == (3, 1)
    given.end()


def test_options_not_given_have_their_defaults():
    none = options()
    assert none.choice("space", ("w", "z"), "w") == "w"
    assert none.number("truncation", 1.0) == 1.0
    assert none.integer("seed", None) is None
    assert none.integers("classes") == ()


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (lambda o: o.choice("k", ("w", "z"), "w"), "v", "one of w, z"),
        (lambda o: o.number("k", 1.0, 0, 1), "2", "a number from 0 to 1"),
        (lambda o: o.number("k", 1.0, 0, 1), "nan", "a number from 0 to 1"),
        (lambda o: o.number("k", 1.0, 0, 1), "half", "a number from 0 to 1"),
        (lambda o: o.integer("k", 1, low=2), "1", "a whole number from 2 on"),
        (lambda o: o.integer("k", 1), "1.5", "a whole number from 0 on"),
        (lambda o: o.integers("k"), "1,,2", "whole numbers separated by commas"),
        (lambda o: o.integers("k"), "-1", "whole numbers separated by commas"),
    ],
)
def test_values_that_cannot_be_are_refused(read, value, expected):
    with pytest.raises(UserError) as caught:
        read(options(k=value))
    assert str(caught.value) == f"k of G.pth is {value!r}, but has to be {expected}"


def test_an_option_nobody_took_is_refused_naming_those_there_are():
    given = options(clases="239")
    given.integers("classes")
    with pytest.raises(UserError, match=r"^G\.pth has no option 'clases'; it has classes$"):
        given.end()


def test_the_rest_is_taken_as_text():
    given = options(space="z", depth="3")
    given.choice("space", ("w", "z"), "w")
    assert given.rest() == {"depth": "3"}
    given.end()
