"""Values that training scripts save beside weights, read as inert stand-ins: nothing of them is needed, none is run."""

import argparse
from typing import Any


class _Value:
    """Stands for a value of another library; takes whatever it was made of, and does nothing with it."""

    def __init__(self, *_parts: object) -> None:
        """Take its parts."""

    def __setstate__(self, state: object) -> None:
        """Take its state."""


def _stand_in(module: str, name: str) -> Any:
    # torch allows a global by where it was defined, hence a class that says it was defined there.
    return type(name, (_Value,), {"__module__": module, "__qualname__": name})


# NumPy moved its internals from core to _core in 2.0; files keep the name of the one that wrote them.
PLAIN_VALUES: list[Any] = [
    argparse.Namespace,
    _stand_in("numpy", "dtype"),
    _stand_in("numpy", "ndarray"),
    *(_stand_in(f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    *(_stand_in("pathlib", f"{kind}Path") for kind in ("Posix", "Windows")),
    *(_stand_in("pathlib._local", f"{kind}Path") for kind in ("Posix", "Windows")),  # Python 3.13
]
