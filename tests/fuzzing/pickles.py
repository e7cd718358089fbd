"""Damage to plain pickles, step by step: what a copying error, a script or somebody with an intention would make."""

import pickletools
from random import Random

from .mutations import damaged_bytes

# Steps without an argument, by which the stack machine of a pickle is led astray.
_BARE = [info.code.encode("latin-1") for info in pickletools.opcodes if info.arg is None and info.name != "STOP"]
_ODD_NUMBERS = (0, 1, -1, 255, 2**31 - 1, -(2**31))


def damaged_program(rng: Random, content: bytes) -> bytes:
    """Return a pickle with some of its steps gone, doubled, exchanged, changed, or others among them."""
    steps = _steps(content)
    for _ in range(rng.choice([1, 1, 2, 5])):
        _ACTS[rng.randrange(len(_ACTS))](rng, steps)
    return b"".join(steps)


def with_call(rng: Random, content: bytes, call: bytes) -> bytes:
    """Return a pickle with `call` among its steps, whose result is dropped or stays."""
    steps = _steps(content)
    steps.insert(_place(rng, steps), call + rng.choice([b"0", b""]))
    return b"".join(steps)


def _steps(content: bytes) -> list[bytes]:
    places = [place for _, _, place in pickletools.genops(content)]
    return [content[start:end] for start, end in zip(places, [*places[1:], len(content)], strict=True)]


def _place(rng: Random, steps: list[bytes]) -> int:
    return rng.randrange(1, max(2, len(steps)))


def _omit(rng: Random, steps: list[bytes]) -> None:
    place = _place(rng, steps)
    del steps[place : place + rng.choice([1, 1, 3, 100])]


def _repeat(rng: Random, steps: list[bytes]) -> None:
    place = _place(rng, steps)
    steps[place:place] = steps[place : place + rng.choice([1, 3, 100])] * rng.choice([1, 1, 30])


def _exchange(rng: Random, steps: list[bytes]) -> None:
    one, other = (rng.randrange(len(steps)) for _ in range(2))
    steps[one], steps[other] = steps[other], steps[one]


def _put_bare(rng: Random, steps: list[bytes]) -> None:
    steps[rng.randrange(len(steps))] = rng.choice(_BARE)


def _recall(rng: Random, steps: list[bytes]) -> None:
    """Put any value that was remembered in the place of another: of another kind, or the one it is part of."""
    steps[rng.randrange(len(steps))] = b"j" + rng.randrange(4000).to_bytes(4, "little")


def _renumber(rng: Random, steps: list[bytes]) -> None:
    places = [place for place, step in enumerate(steps) if step[:1] in (b"K", b"M", b"J")]
    if places:
        steps[rng.choice(places)] = b"J" + rng.choice(_ODD_NUMBERS).to_bytes(4, "little", signed=True)


def _rename(rng: Random, steps: list[bytes]) -> None:
    places = [place for place, step in enumerate(steps) if step[:1] in (b"c", b"\x8c", b"X")]
    if places:
        steps[rng.choice(places)] = rng.choice([b"cos\ngetcwd\n", b"\x8c\x02os", b"\x8c\x06getcwd", b"cposix\nnice\n"])


def _bytes(rng: Random, steps: list[bytes]) -> None:
    steps[:] = [steps[0], damaged_bytes(rng, b"".join(steps[1:]))]


_ACTS = (_omit, _repeat, _exchange, _put_bare, _recall, _renumber, _rename, _bytes)
