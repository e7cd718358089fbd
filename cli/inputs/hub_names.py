"""References to the hub among what a command was given: fetched with a bar, and handed on with file and commit."""

from pathlib import Path
from typing import Any

from cli.runs.progress import terminal
from toolkit.hub.reference import is_reference

# What commands call an artefact, and its role (toolkit.hub.fetching.ROLES); None where a flag decides.
_ROLES = {
    "generator": "generators",
    "start": "generators",
    "directions": "directions",
    "run": "directions",
    "sets": "directions",
    "encoder": "encoders",
    "segmenter": "segmenters",
    "source": None,
}
ON_THE_HUB = "hub:owner/name[@revision]"  # as the help of every option that takes an artefact says


def settle(parameters: dict[str, Any]) -> None:
    """Put what they mean for ever in place of the references among a command's parameters; UserError where they fail.

    So whatever is recorded or printed of them, here or in a library, says which file of which commit it was.
    """
    for name in parameters.keys() & _ROLES.keys():
        value = parameters[name]
        if isinstance(value, list | tuple):
            parameters[name] = type(value)(settled(one, _ROLES[name]) for one in value)
        else:
            parameters[name] = settled(value, _ROLES[name])


def settled(value: Any, role: str | None) -> Any:
    """Return a reference, LABEL=REFERENCE or GENERATOR@OPTIONS with its file and commit; any other value as it is."""
    if not isinstance(value, str | Path):
        return value
    label, equals, text = str(value).rpartition("=hub:")
    name = f"hub:{text}" if equals and "/" not in label else str(value)
    # A module of one's own may be called hub: without a slash a library refuses what is no code either.
    if not is_reference(name) or "/" not in name:
        return value
    from generators.spec import join_spec, split_spec
    from toolkit.hub.fetching import fetched

    plain, options = split_spec(name) if role == "generators" else (name, {})
    pinned = join_spec(str(fetched(plain, role, terminal).reference), options)
    return type(value)(f"{label}={pinned}" if name != str(value) else pinned)
