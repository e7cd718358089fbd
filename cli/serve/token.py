"""The secret without which a server on a network answers nobody."""

import hashlib
import hmac
import os
import re
from pathlib import Path

from toolkit.errors import UserError
from toolkit.untrusted.text import read_text

VARIABLE = "TOOLKIT_TOKEN"
_FITS = re.compile(r"[!-~]{16,4096}")  # what a header can hold
_LARGEST = 10_000  # bytes of its file


def token_of(file: Path | None) -> str | None:
    """Return the token in a file or in the environment, None where there is none; UserError for one that is weak."""
    if file is None:
        token, source = os.environ.get(VARIABLE, ""), VARIABLE
        if VARIABLE not in os.environ:
            return None
    else:
        token, source = read_text(file, "token", _LARGEST), str(file)
    token = token.strip()
    if not _FITS.fullmatch(token):
        raise UserError(
            f"the token in {source} is none of 16 or more letters, digits and signs without spaces; make one, as "
            "openssl rand -hex 24 does"
        )
    return token


class Token:
    """A token that is compared in a time which says nothing about it."""

    def __init__(self, token: str) -> None:
        self._digest = _digest(f"Bearer {token}".encode())

    def opens(self, authorization: bytes) -> bool:
        """Return whether an Authorization header holds it."""
        scheme, _, given = authorization.partition(b" ")
        return hmac.compare_digest(_digest(scheme.capitalize() + b" " + given.strip()), self._digest)


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()
