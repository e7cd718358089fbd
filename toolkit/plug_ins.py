"""Tables of all there is of a kind, such as mask rules: this toolkit's own entries, then those of installed packages.

A package offers an entry under a name of its own by an entry point in its pyproject.toml:

    [project.entry-points."latent_toolkit.mask_rules"]
    blue = "my_package:BLUE"

Whoever installs a package has chosen to run it. A name alone, such as one read from a file, selects an entry and
imports nothing else. Installed packages are looked through when a name is asked for that is not our own, or all names
are, and their code is imported when an entry is used. This module imports neither torch nor numpy.
"""

import functools
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from toolkit.errors import UserError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

PREFIX = "latent_toolkit."  # of all groups of entry points


class PlugInError(UserError):
    """What an installed package offers cannot be used; the message names both."""


EntryT = TypeVar("EntryT", covariant=True)
ResultT = TypeVar("ResultT")


def resolved(place: str) -> Any:
    """Return the object at `package.module:name`, importing the module; for places written in code, never in data."""
    return pkgutil.resolve_name(place)


def offers(group: str) -> "dict[str, list[EntryPoint]]":
    """Return name -> what installed packages offer under it in the group `latent_toolkit.GROUP`, sorted by name."""
    return _offers(PREFIX + group, tuple(sys.path))


@functools.lru_cache(maxsize=32)
def _offers(group: str, _path: tuple[str, ...]) -> "dict[str, list[EntryPoint]]":
    from importlib.metadata import entry_points

    names: dict[str, list[EntryPoint]] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        entries = names.setdefault(entry.name, [])
        if entry.value not in [other.value for other in entries]:  # one package may lie on the path twice
            entries.append(entry)
    return names


class Table(Mapping[str, EntryT]):
    """Name -> entry of one kind; our own come first, and a plug-in never takes the place of one of them.

    `own` holds entries, or places `package.module:name` where they lie, which are imported when used. `fault` says in
    words what is wrong with an entry, or None. `group` is where packages offer more, None where nobody may.
    """

    def __init__(
        self,
        what: str,
        own: Mapping[str, EntryT | str],
        fault: Callable[[Any], str | None] = lambda entry: None,
        group: str | None = None,
    ) -> None:
        self.what = what
        self.own = own
        self.group = group
        self._fault = fault
        self._loaded: dict[tuple[str, str], Any] = {}

    def __getitem__(self, name: str) -> EntryT:
        """Return the entry; KeyError for an unknown name, UserError naming a plug-in that cannot be used."""
        if name not in self.own:
            return self._offered(name)
        entry = self.own[name]
        return self._at(name, entry, functools.partial(resolved, entry)) if isinstance(entry, str) else entry

    def __iter__(self) -> Iterator[str]:
        yield from self.own
        yield from (name for name in self.offered() if name not in self.own)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self.own or name in self.offered()

    def offered(self) -> "dict[str, list[EntryPoint]]":
        """Return what installed packages offer, by name; nothing of it is imported."""
        return {} if self.group is None else offers(self.group)

    def attempt(self, name: str, action: Callable[[], ResultT]) -> ResultT:
        """Return what `action`, which runs code of entry `name`, returns.

        Of a plug-in's code, errors other than UserError become a PlugInError.
        """
        return action() if name in self.own else _attempt(self._offer(name), self.what, action)

    def _offered(self, name: str) -> EntryT:
        entry = self._offer(name)
        return self._at(name, entry.value, lambda: loaded(entry, self.what, self._fault))

    def _offer(self, name: str) -> "EntryPoint":
        entry, *others = self.offered()[name]
        if others:
            places = ", ".join(offer.value for offer in (entry, *others))
            raise UserError(f"several packages offer a {self.what} {name!r}: {places}; uninstall all but one")
        return entry

    def _at(self, name: str, place: str, load: Callable[[], Any]) -> Any:
        key = name, place
        if key not in self._loaded:
            self._loaded[key] = load()
        return self._loaded[key]


def loaded(entry: "EntryPoint", what: str, fault: Callable[[Any], str | None] = lambda entry: None) -> Any:
    """Return what an entry point names; UserError in one line naming the plug-in where that cannot be used."""
    try:
        offered = _attempt(entry, what, entry.load)
        wrong = _attempt(entry, what, lambda: fault(offered))
    except PlugInError:
        raise
    except UserError as error:  # what it names refuses the parts it was made of
        raise _unusable(entry, what, str(error)) from error
    if wrong is not None:
        raise _unusable(entry, what, wrong)
    return offered


def _attempt(entry: "EntryPoint", what: str, action: Callable[[], ResultT]) -> ResultT:
    try:
        return action()
    except UserError:
        raise
    except Exception as error:  # code of others may raise anything
        reason = f"{type(error).__name__}: {next(iter(str(error).splitlines()), 'no message')}"
        raise _unusable(entry, what, reason) from error


def _unusable(entry: "EntryPoint", what: str, reason: str) -> PlugInError:
    package = "its package" if entry.dist is None else entry.dist.name
    return PlugInError(
        f"the {what} {entry.name!r} of {package} cannot be used: {entry.value}: {reason}; update or uninstall {package}"
    )
