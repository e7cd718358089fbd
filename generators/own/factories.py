"""Factories of generators in a user's own code: `package.module:factory`, and plug-ins of installed packages."""

import functools
import importlib
import inspect
import os
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from generators.own.checking import attempt, checked
from generators.own.modules import located
from generators.own.trust import Code, Trust
from generators.protocol import Generator
from generators.spec import Options
from toolkit.errors import UserError
from toolkit.plug_ins import offers

_PLACE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_PACKAGES = ("assets", "cli", "discovery", "generators", "segmentation", "toolkit")
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Factory:
    """Where a factory stands: `name` is what was written behind --generator."""

    name: str
    module: str
    attribute: str

    def source_file(self) -> Path | None:
        """Return the source of its module, or None where it has none; nothing is imported to find it.

        UserError if there is no such module.
        """
        place = located(self.module)
        if place is None:
            raise _absent(self.module)
        return place.file

    def code(self, options: Options) -> Code:
        """Return what `build` would run; UserError if there is no such module."""
        return Code(options.spec, self.source_file(), options.left())

    def build(self, options: Options, trust: Trust) -> Generator:
        """Return the generator it makes, tried out (generators.own.checking); the options become its arguments.

        UserError in one line where its code may not run, for a module or name that is not there, wrong options, and
        what its code raises.
        """
        trust.admit(self.code(options))
        given, made = options.rest(), self._factory()
        arguments = _arguments(made, given, self.name)
        return checked(attempt(lambda: made(**arguments), self.name), self.name)

    def _factory(self) -> Callable[..., Any]:
        module = _imported(self.module)
        try:
            factory = functools.reduce(getattr, self.attribute.split("."), module)
        except AttributeError as error:
            there = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
            raise UserError(
                f"{self.module} has no {self.attribute!r}; it has {', '.join(there[:12]) or 'nothing that is callable'}"
            ) from error
        made_already = not isinstance(factory, type) and isinstance(factory, nn.Module | Generator)
        if made_already or not callable(factory):
            raise UserError(
                f"{self.name} is no factory but an object ({type(factory).__name__}); name a function that returns it"
            )
        return factory


def find_factory(name: str) -> Factory | None:
    """Return the factory at `package.module:name`, or the plug-in called `name`; None if it is neither.

    UserError when two installed packages offer that name.
    """
    if _PLACE.fullmatch(name):
        module, _, attribute = name.partition(":")
        return Factory(name, module, attribute)
    entries = offers("generators").get(name, [])
    if len(entries) > 1:
        places = ", ".join(entry.value for entry in entries)
        raise UserError(f"several packages offer a generator {name!r}: {places}; name one of these instead")
    return next((Factory(name, entry.module, entry.attr) for entry in entries), None)


def _imported(name: str) -> types.ModuleType:
    folder, place = os.getcwd(), located(name)
    # Only where the module is in the folder: elsewhere files of that folder would hide what the module imports.
    beside = place is None or (place.file is not None and Path(folder).resolve() in place.file.resolve().parents)
    if beside and not {"", folder} & set(sys.path):
        for package in _PACKAGES:  # held before a folder that may have one of that name comes first
            importlib.import_module(package)
        sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        return attempt(lambda: importlib.import_module(name), f"importing {name}")
    except UserError as error:
        absent = error.__cause__.name if isinstance(error.__cause__, ModuleNotFoundError) else None
        if absent is None or not f"{name}.".startswith(f"{absent}."):
            raise
        raise _absent(name) from error.__cause__


def _absent(name: str) -> UserError:
    top = name.partition(".")[0]
    remedy = (
        f"{top} is a package of this toolkit, so give yours another name"
        if top in _PACKAGES
        else "run the command in the folder that holds it, or install it"
    )
    return UserError(f"there is no module {name} in {os.getcwd()} or installed; {remedy}")


def _arguments(factory: Callable[..., Any], given: Mapping[str, str], name: str) -> dict[str, Any]:
    """Return the options as arguments, converted to what the factory's annotations, or else defaults, say."""
    parameters = attempt(lambda: _signature(factory), f"the signature of {name}").parameters
    named = {
        key: parameter
        for key, parameter in parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for key in given:
        if key not in named and not takes_any:
            known = f"it has {', '.join(named)}" if named else "it has none"
            raise UserError(f"{name} has no option {key!r}; {known}")
    for key, parameter in named.items():
        if parameter.default is parameter.empty and key not in given:
            raise UserError(f"{name} needs {key}; give it as {name}@{key}=VALUE")
    return {
        key: _converted(value, _kind(named[key]), f"{key} of {name}") if key in named else value
        for key, value in given.items()
    }


def _signature(factory: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(factory, eval_str=True)
    except NameError:  # an annotation that only type checkers can resolve
        return inspect.signature(factory)


def _kind(parameter: inspect.Parameter) -> type:
    """Return int, float or bool where the annotation, or without one the default, says so; else str."""
    hint = type(parameter.default) if parameter.annotation is parameter.empty else parameter.annotation
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    kinds = [kind for kind in typing.get_args(hint) if kind is not types.NoneType] if union else [hint]
    return next((kind for kind in (int, float, bool) if kinds in ([kind], [kind.__name__])), str)


def _converted(text: str, kind: type, what: str) -> Any:
    try:
        return _TRUTHS[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError) as error:
        raise UserError(f"{what} is {text!r}, but has to be {kind.__name__}") from error
