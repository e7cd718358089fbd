"""Pickles of any origin as inert records: nothing in them is imported, called or given attributes.

A pickle is a program for a small stack machine (the standard library's `pickletools` describes it). The machine here
cannot reach anything: a global is its name, a call is a record of what would be called with what, and the state of an
object stays beside that record. Long texts and bytes stay in the file, as the place where they lie. What such records
mean is for others to say, who look at a part of them alone.
"""

import io
import struct
from collections.abc import Callable
from typing import Any

from toolkit.untrusted.inert_records import PERSISTENT, Made, Name, Stretch, key

_LONGEST = 1024  # bytes of a text, of bytes or of a number that is kept; what is longer stays in the file
_MOST_KEPT = 32_000_000  # bytes of all of them
_HIGHEST = 2**32  # of the numbers by which values are remembered
# A StyleGAN2 of 1024 px with its discriminator and all has some 40,000; each may take a hundred bytes of memory.
MOST_STEPS = 1_000_000


def read_pickle(file: io.BufferedIOBase, end: int, most_steps: int = MOST_STEPS) -> Any:
    """Return what the pickle holds that begins where `file` stands; it then stands behind it.

    Plain values are themselves, all else Name, Made, Stretch and, as keys, Odd. They may be shared, and be part of
    themselves. ValueError, or another Exception, for a pickle that is damaged, goes on behind `end`, or has more steps
    than `most_steps`.
    """
    return _Machine(file, end).run(most_steps)


class _Machine:
    def __init__(self, file: io.BufferedIOBase, end: int) -> None:
        self._file, self._end = file, end
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._kept = 0

    def run(self, most_steps: int) -> Any:
        for _ in range(most_steps):
            code = self._file.read(1)
            if code == b".":
                if self._file.tell() > self._end:
                    raise ValueError("it goes on behind its end")
                return self._pop()
            step = _STEPS.get(code)
            if step is None:
                raise ValueError(f"no step of a pickle is {code!r}" if code else "it is cut short")
            step(self)
        raise ValueError(f"it has more than {most_steps} steps")

    # What stands behind a step in the file

    def _bytes(self, count: int) -> bytes:
        self._kept += count
        if self._kept > _MOST_KEPT:
            raise ValueError("it holds too many values")
        held = self._file.read(count)
        if len(held) != count:
            raise ValueError("it is cut short")
        return held

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._bytes(struct.calcsize(form)))[0]

    def _line(self) -> str:
        line = self._file.readline(_LONGEST)
        self._kept += len(line)
        if not line.endswith(b"\n") or self._kept > _MOST_KEPT:
            raise ValueError("a line of it is too long, or cut short")
        return line[:-1].decode("utf-8")

    def _counted(self, form: str, is_text: bool) -> bytes | Stretch:
        count = self._number(form)
        place = self._file.tell()
        if not 0 <= count <= self._end - place:
            raise ValueError("it is cut short")
        if count <= _LONGEST:
            return self._bytes(count)
        self._file.seek(count, io.SEEK_CUR)
        return Stretch(place, count, is_text)

    def _long(self, form: str) -> int:
        held = self._counted(form, False)
        if isinstance(held, Stretch):
            raise ValueError("it holds a number that is too long")
        return int.from_bytes(held, "little", signed=True)

    def _text(self, form: str, coding: str = "utf-8") -> str | Stretch:
        held = self._counted(form, True)
        return held if isinstance(held, Stretch) else held.decode(coding, "surrogatepass")

    def _whole(self) -> int | bool:
        line = self._line()
        return line == "01" if line in ("00", "01") else int(line)

    def _index(self) -> int:
        number = int(self._line())
        if not 0 <= number < _HIGHEST:
            raise ValueError("it remembers a value by no number")
        return number

    # The stack

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise ValueError("it takes a value that is not there")
        return self._stack.pop()

    def _top(self) -> Any:
        value = self._pop()
        self._stack.append(value)
        return value

    def _mark(self) -> None:
        self._marks.append(len(self._stack))

    def _marked(self) -> list[Any]:
        """Return all values since the last mark, taken from the stack."""
        if not self._marks:
            raise ValueError("it takes values that are not there")
        place = self._marks.pop()
        values = self._stack[place:]
        del self._stack[place:]
        return values

    def _drop(self) -> None:
        if self._marks and len(self._stack) == self._marks[-1]:
            self._marks.pop()
        else:
            self._pop()

    def _tuple(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self._push(tuple(reversed(values)))

    # The memo

    def _remember(self, number: int) -> None:
        self._memo[number] = self._top()

    def _recall(self, number: int) -> None:
        if number not in self._memo:
            raise ValueError("it names a value that is not there")
        self._push(self._memo[number])

    # Tables and lists

    def _put_items(self, values: list[Any]) -> None:
        if len(values) % 2:
            raise ValueError("a key of it has no value")
        table = self._top()
        pairs = zip(values[::2], values[1::2], strict=True)
        if type(table) is dict:
            table.update((key(name), value) for name, value in pairs)
        elif type(table) is Made:
            table.items += pairs
        else:
            raise ValueError("it puts items into what is no table")

    def _put_members(self, values: list[Any]) -> None:
        held = self._top()
        if type(held) is list:
            held += values
        elif type(held) is Made:
            held.members += values
        else:
            raise ValueError("it puts members into what is no list")

    def _table(self, values: list[Any]) -> None:
        self._push({})
        self._put_items(values)

    def _set(self, name: str, members: list[Any]) -> None:
        self._push(Made(Name("builtins", name), (), members=members))

    # Names and calls

    def _global(self) -> None:
        name, module = self._pop(), self._pop()
        if not (type(name) is str and type(module) is str):
            raise ValueError("it names a global by no text")
        self._push(Name(module, name))

    def _call(self, arguments: Any, *, named: Any = None) -> None:
        what = self._pop()
        if not (isinstance(what, Name | Made) and type(arguments) is tuple):
            raise ValueError("it calls what is none to call")
        self._push(Made(what, arguments if named is None else (*arguments, named)))

    def _call_marked(self) -> None:
        what, *arguments = self._marked()
        self._push(what)
        self._call(tuple(arguments))

    def _call_named(self) -> None:
        named, arguments = self._pop(), self._pop()
        self._call(arguments, named=named)

    def _instance(self) -> None:
        self._push(Name(self._line(), self._line()))
        what = self._pop()
        self._push(Made(what, tuple(self._marked())))

    def _build(self) -> None:
        state, built = self._pop(), self._top()
        if type(built) is not Made:
            raise ValueError("it sets the state of what has none")
        built.state = state


# What each step does: opcodes as `pickletools` lists them. Those that reach outside (the registry of extensions,
# buffers beside the pickle) are not among them.
_STEPS: dict[bytes, Callable[[_Machine], None]] = {
    b"N": lambda m: m._push(None),
    b"\x88": lambda m: m._push(True),
    b"\x89": lambda m: m._push(False),
    b"I": lambda m: m._push(m._whole()),
    b"L": lambda m: m._push(int(m._line().removesuffix("L"))),
    b"J": lambda m: m._push(m._number("<i")),
    b"K": lambda m: m._push(m._number("<B")),
    b"M": lambda m: m._push(m._number("<H")),
    b"\x8a": lambda m: m._push(m._long("<B")),
    b"\x8b": lambda m: m._push(m._long("<i")),
    b"F": lambda m: m._push(float(m._line())),
    b"G": lambda m: m._push(m._number(">d")),
    b"S": lambda m: m._push(m._line()[1:-1]),  # escapes stay as they are written
    b"V": lambda m: m._push(m._line()),
    b"T": lambda m: m._push(m._text("<i", "latin-1")),
    b"U": lambda m: m._push(m._text("<B", "latin-1")),
    b"X": lambda m: m._push(m._text("<I")),
    b"\x8c": lambda m: m._push(m._text("<B")),
    b"\x8d": lambda m: m._push(m._text("<Q")),
    b"B": lambda m: m._push(m._counted("<I", False)),
    b"C": lambda m: m._push(m._counted("<B", False)),
    b"\x8e": lambda m: m._push(m._counted("<Q", False)),
    b"\x96": lambda m: m._push(m._counted("<Q", False)),
    b"]": lambda m: m._push([]),
    b")": lambda m: m._push(()),
    b"}": lambda m: m._push({}),
    b"\x8f": lambda m: m._set("set", []),
    b"\x91": lambda m: m._set("frozenset", m._marked()),
    b"(": _Machine._mark,
    b"l": lambda m: m._push(m._marked()),
    b"t": lambda m: m._push(tuple(m._marked())),
    b"d": lambda m: m._table(m._marked()),
    b"\x85": lambda m: m._tuple(1),
    b"\x86": lambda m: m._tuple(2),
    b"\x87": lambda m: m._tuple(3),
    b"a": lambda m: m._put_members([m._pop()]),
    b"e": lambda m: m._put_members(m._marked()),
    b"\x90": lambda m: m._put_members(m._marked()),
    b"s": lambda m: m._put_items([m._pop(), m._pop()][::-1]),
    b"u": lambda m: m._put_items(m._marked()),
    b"0": _Machine._drop,
    b"1": lambda m: m._marked().clear(),
    b"2": lambda m: m._push(m._top()),
    b"p": lambda m: m._remember(m._index()),
    b"q": lambda m: m._remember(m._number("<B")),
    b"r": lambda m: m._remember(m._number("<I")),
    b"\x94": lambda m: m._remember(len(m._memo)),
    b"g": lambda m: m._recall(m._index()),
    b"h": lambda m: m._recall(m._number("<B")),
    b"j": lambda m: m._recall(m._number("<I")),
    b"c": lambda m: m._push(Name(m._line(), m._line())),
    b"\x93": _Machine._global,
    b"R": lambda m: m._call(m._pop()),
    b"\x81": lambda m: m._call(m._pop()),
    b"\x92": _Machine._call_named,
    b"o": _Machine._call_marked,
    b"i": _Machine._instance,
    b"b": _Machine._build,
    b"P": lambda m: m._push(Made(PERSISTENT, (m._line(),))),
    b"Q": lambda m: m._push(Made(PERSISTENT, (m._pop(),))),
    b"\x80": lambda m: m._number("<B"),
    b"\x95": lambda m: m._number("<Q"),  # where a frame ends, which only says how much to read at once
}
