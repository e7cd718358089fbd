"""Weights as training scripts save them: under a key, behind a prefix, with settings and other networks beside them."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from toolkit.errors import UserError

_DEEPEST = 3  # levels of tables in tables
_SHOWN = 8
# Put before every name by torch's own wrappers: of several GPUs, of torch.compile.
_WRAPPERS = ("module.", "_orig_mod.")

Tensors = dict[str, torch.Tensor]


def find_state(
    held: Any, path: Path, what: str, fits: Callable[[Tensors], bool] | None = None, hint: str = ""
) -> Tensors:
    """Return the table of tensors meant by what a file holds, its names without the prefixes of torch's wrappers.

    It is the one that `fits`, wherever it stands; where none does, the only one, so that the caller can say what
    differs. Values beside the tensors are left out. UserError, which names the entries, for several that fit, for
    several of which none fits, and for none.
    """
    if isinstance(held, Mapping) and not held:  # the whole state of a network without weights
        return {}
    tables = {place: stripped(table) for place, table in tables_in(held)}
    fitting = {place: table for place, table in tables.items() if fits is None or fits(table)}
    chosen = fitting or ({"": tables[""]} if "" in tables else tables)
    if len(chosen) == 1:
        return next(iter(chosen.values()))
    if not chosen and _is_optimiser(held):
        raise UserError(
            f"{path} holds the state of an optimiser alone, not {what}; save the network's state dict{hint}"
        )
    if not chosen:
        raise UserError(f"{path} holds no table of tensors, but {what} is one; save a state dict{hint}")
    listed = ", ".join(f"{place} ({len(table)} tensors)" for place, table in list(chosen.items())[:_SHOWN])
    fault = "of which several fit" if fitting else "of which none fits"
    first = next(iter(chosen))
    save = f"torch.save(torch.load(FILE){''.join(f'[{key!r}]' for key in first.split('/'))}, NEW)"
    raise UserError(f"{path} holds several tables of tensors, {fault} {what}: {listed}; save one alone: {save}{hint}")


def _is_optimiser(held: Any) -> bool:
    """Return whether a file without tables of tensors holds what optimisers of torch save: numbered parameters."""
    return isinstance(held, Mapping) and ("param_groups" in held or any(map(_is_optimiser, held.values())))


def stripped(table: Tensors) -> Tensors:
    """Return the table without the prefixes that torch's wrappers put before all of its names."""
    prefix = next((prefix for prefix in _WRAPPERS if table and all(name.startswith(prefix) for name in table)), None)
    return table if prefix is None else stripped({name[len(prefix) :]: tensor for name, tensor in table.items()})


def tables_in(held: Any, place: str = "", depth: int = 0) -> Iterator[tuple[str, Tensors]]:
    """Yield (place, table) for every table that holds tensors by name, the outermost first."""
    if not isinstance(held, Mapping) or depth > _DEEPEST:
        return
    table = {name: value for name, value in held.items() if isinstance(name, str) and isinstance(value, torch.Tensor)}
    if table:
        yield place, table
    for name, value in held.items():
        if isinstance(name, str):
            yield from tables_in(value, f"{place}/{name}".lstrip("/"), depth + 1)
