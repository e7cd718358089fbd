"""What the hub's library raises, as one line each that says what to do. No line holds a token."""

import contextlib
import json
import math
import re
import warnings
from collections.abc import Iterator
from typing import Any

from toolkit.errors import UserError
from toolkit.imports import collection_paused

NEEDS = "the hub extra: pip install 'latent-segmentation-toolkit[hub]'"
TIMEOUT = 20.0  # seconds without an answer
_NETWORK = {"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3", "ssl", "socket"}
_LONGEST_ANSWER = 200
LOGIN = "log in with hf auth login, or set HF_TOKEN"


def library(asked: object) -> Any:
    """Return the module huggingface_hub; UserError with the line that installs it, for `asked`, where it is not."""
    try:
        with collection_paused():
            import huggingface_hub
    except ImportError as error:
        raise UserError(f"{asked} is on the hub, which needs {NEEDS}") from error
    return huggingface_hub


@contextlib.contextmanager
def refusing(asked: object, pushing: bool = False) -> Iterator[None]:
    """Turn what the library raises inside into one UserError about `asked`; a fault of ours keeps its traceback."""
    hub = library(asked)
    try:
        with _quiet(hub):
            yield
    except UserError:
        raise
    except Exception as error:
        line = _line(error, hub, pushing)
        if line is None:
            raise
        raise UserError(f"{asked}: {line}") from error


@contextlib.contextmanager
def _quiet(hub: Any) -> Iterator[None]:
    """Keep the library from lines and warnings of its own: what matters in them becomes part of an error here."""
    before = hub.logging.get_verbosity()
    hub.logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        hub.logging.set_verbosity(before)


def is_out_of_reach(error: BaseException) -> bool:
    """Return whether an error is of the way to the hub, not of what it answered."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return status >= 500
    modules = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return bool(modules & _NETWORK) or isinstance(error, TimeoutError | ConnectionError)


def _line(error: Exception, hub: Any, pushing: bool) -> str | None:
    """Return in words what happened and what to do; None for what is no doing of the hub, the network or the disk."""
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):  # of one of its threads
        return _line(error.__cause__, hub, pushing)
    errors, where = hub.errors, endpoint(hub)
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE forbids asking the hub; unset it"
    if status == 429:
        return f"{where} has had too many requests (HTTP 429); repeat the command {_later(response)}"
    if isinstance(error, errors.GatedRepoError):
        return f"its owner gives access on request; ask for it at {where}, then {LOGIN}"
    if isinstance(error, errors.RevisionNotFoundError):
        return "the repository has no such revision; name a branch, a tag or a commit, or omit @revision"
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, errors.LocalEntryNotFoundError):
        return "the repository holds no such file at this revision; omit the file to see what it holds"
    if status in (401, 404) or isinstance(error, errors.RepositoryNotFoundError):
        return _unknown(hub, where, status, pushing)
    if status == 403:
        return f"the token may not do that ({_said(error)}); {LOGIN} with one that may"
    if status is not None:
        then = "repeat the command later" if status >= 500 else "check the name"
        return f"{where} answers HTTP {status} ({_said(error)}); {then}"
    return _without_answer(error, errors, where)


def _without_answer(error: Exception, errors: Any, where: str) -> str | None:
    if isinstance(error, errors.LocalEntryNotFoundError):
        reason = error.__cause__
        if isinstance(reason, errors.FileMetadataError) or (isinstance(reason, Exception) and is_out_of_reach(reason)):
            return _without_answer(reason, errors, where)
        return "the cache does not hold it; fetch it once with a network"
    if is_out_of_reach(error):
        return (
            f"cannot reach {where} ({_reason(error)}), and the cache does not hold it; check the network or HF_ENDPOINT"
        )
    if isinstance(error, json.JSONDecodeError | errors.FileMetadataError | KeyError):
        return f"{where} does not answer as the hub does; check HF_ENDPOINT"
    if isinstance(error, errors.HFValidationError | ValueError):
        return _first_line(str(error))
    if isinstance(error, OSError):
        return f"{error.strerror or _first_line(str(error))}; make room or choose another folder with HF_HOME"
    return None


def _unknown(hub: Any, where: str, status: int | None, pushing: bool) -> str:
    if hub.get_token() is None:
        return f"not on {where} for everybody to {'write to' if pushing else 'see'}: check the name, or {LOGIN}"
    if status == 401:
        return f"{where} does not take the token; {LOGIN} anew"
    return f"there is no such repository on {where}, or the token may not see it; check the name"


def endpoint(hub: Any) -> str:
    """Return the address of the hub, as HF_ENDPOINT says it, without what a person may have put in for a login."""
    return re.sub(r"//[^/@]*@", "//", hub.constants.ENDPOINT)


def _later(response: Any) -> str:
    texts = (response.headers.get("retry-after", ""), response.headers.get("ratelimit", "").partition("t=")[2])
    seconds = next((float(text) for text in texts if text.isdecimal()), None)
    return "later" if seconds is None else f"in {math.ceil(seconds)} s"


def _said(error: Any) -> str:
    return _first_line(getattr(error, "server_message", None) or "no reason given")


def _reason(error: BaseException) -> str:
    return _first_line(str(error)) or type(error).__name__


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0][:_LONGEST_ANSWER].rstrip(".") if lines else ""
