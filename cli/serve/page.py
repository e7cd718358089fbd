"""The page that says what a server can be asked, made from its OpenAPI description; nothing of it is from elsewhere."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any


def page_of(described: Mapping[str, Any]) -> str:
    """Return the page for an OpenAPI description."""
    title = escape(described["info"]["title"])
    routes = "".join(
        _route(path, method, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head><body>'
        f"<h1>{title} {escape(described['info']['version'])}</h1>"
        '<p>Also as <a href="openapi.json">openapi.json</a>. Errors are one line: {"error": "..."}.</p>'
        f"{routes}</body></html>"
    )


def _route(path: str, method: str, operation: Mapping[str, Any]) -> str:
    parameters = "".join(_parameters(operation.get("parameters", [])))
    answers = "".join(
        f"<li>{escape(status)}: {escape(answer['description'])}</li>"
        for status, answer in operation["responses"].items()
    )
    return (
        f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation['summary'])}</p>"
        f"<ul>{parameters}</ul><p>Answers</p><ul>{answers}</ul>"
        f"<pre>{escape(_line(path, method))}</pre>"
    )


def _parameters(parameters: list[Mapping[str, Any]]) -> Iterator[str]:
    for parameter in parameters:
        schema = parameter["schema"]
        default = escape(str(schema.get("default", "")).lower())
        text = escape(parameter.get("description", ""))
        yield f"<li><code>?{escape(parameter['name'])}={default}</code> {escape(schema['type'])}: {text}</li>"


def _line(path: str, method: str) -> str:
    if method == "get":
        return f"curl http://127.0.0.1:8000{path}"
    out = "" if path == "/result" else f" -o {path[1:]}.png"
    return f"curl --data-binary @photo.jpg http://127.0.0.1:8000{path}{out}"
