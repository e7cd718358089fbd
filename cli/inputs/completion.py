"""What shells complete behind an option: names of tables and of shipped files. Where none fits, they complete files."""

from collections.abc import Callable, Iterable

_DEVICES = ("auto", "cpu", "cuda", "mps")
_PRECISIONS = ("auto", "fp32", "bf16")
_COMPILE_MODES = ("auto", "on", "off")

Completion = Callable[[], list[str]]


def one_of(names: Iterable[str]) -> Completion:
    """Return a completion of the names, which are listed when they are asked for: packages may add to a table."""
    return lambda: list(names)


def shipped(kind: str, *more: str) -> Completion:
    """Return a completion of the shipped files of a kind (`generators`, `segmenters`, ...) and `more` names.

    Repositories of the hub that are in its library's cache follow.
    """

    def complete() -> list[str]:
        from toolkit.files.shipped import shipped_file
        from toolkit.hub.cache import cached_references

        return [*sorted(path.stem for path in shipped_file(kind).glob("*.safetensors")), *more, *cached_references()]

    return complete


devices, precisions, compile_modes = one_of(_DEVICES), one_of(_PRECISIONS), one_of(_COMPILE_MODES)
generators = shipped("generators", "scene", "bigbigan")
