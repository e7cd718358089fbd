"""What is recorded of a thing that came from the hub, in the runs made with it."""

import re
from collections.abc import Mapping
from typing import Any

from toolkit.errors import UserError
from toolkit.hub.reference import Reference

_DIGEST = re.compile(r"[0-9a-f]{64}")
_LETTERS = 16  # of a digest, as all records have them


def shared_inputs(what: str, card: Mapping[str, Any]) -> dict[str, str]:
    """Return how a run records `what`, such as directions, whose card says that it came from the hub; else nothing."""
    shared = card.get("shared")
    if shared is None:
        return {}
    place, digest = (shared.get(key) for key in ("from", "sha256")) if isinstance(shared, Mapping) else (None, None)
    if not isinstance(place, str) or not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise UserError(f"the card of the {what} says {shared!r} of where they are shared; make or fetch them again")
    return {what: str(Reference.parse(place)), f"{what}_digest": digest[:_LETTERS]}
