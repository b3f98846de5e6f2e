"""The documentation of the API as one page, made of its OpenAPI: no script, nothing foreign."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_METHODS = ("get", "post")
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
h2 { border-top: 1px solid #8884; margin-top: 2rem; padding-top: 1rem }
code, pre { font: 14px/1.5 ui-monospace, monospace }
table { border-collapse: collapse; margin: .5rem 0 1rem }
td, th { border-bottom: 1px solid #8884; padding: .2rem 1rem .2rem 0; text-align: left;
  vertical-align: top }
.verb { text-transform: uppercase }
"""

Node = Mapping[str, Any]


def page_of(openapi: Node) -> str:
    """HTML for an OpenAPI document as litestar makes it."""
    info = openapi["info"]
    title = escape(f"{info['title']} {info['version']}")
    return "".join(
        (
            '<!doctype html><html lang="en"><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>",
            f"<p>{escape(info.get('description', ''))}",
            ' The same for programs: <a href="/openapi.json">openapi.json</a>.</p>',
            *_operations(openapi),
            "<h2>Objects</h2>",
            *_objects(openapi),
            "</html>",
        )
    )


def _operations(openapi: Node) -> Iterator[str]:
    for path, item in sorted(openapi["paths"].items()):
        for method in _METHODS:
            if operation := item.get(method):
                yield f'<h2><code><span class="verb">{method}</span> {escape(path)}</code></h2>'
                yield f"<p><b>{escape(operation.get('summary') or '')}</b></p>"
                yield f"<p>{escape(operation.get('description') or '')}</p>"
                yield from _table("Parameter", _parameters(operation))
                yield from _table("Body", _body(operation))
                yield from _table("Answer", _answers(operation))


def _parameters(operation: Node) -> Iterator[tuple[str, str, str]]:
    for each in operation.get("parameters", ()):
        kind = _kind(each.get("schema", {}))
        yield each["name"], kind, each.get("description") or f"in the {each['in']}"


def _body(operation: Node) -> Iterator[tuple[str, str, str]]:
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        yield media, _kind(content.get("schema", {})), ""


def _answers(operation: Node) -> Iterator[tuple[str, str, str]]:
    for status, answer in sorted(operation.get("responses", {}).items()):
        kinds = (_kind(each.get("schema", {})) for each in answer.get("content", {}).values())
        yield status, ", ".join(kinds), answer.get("description", "")


def _objects(openapi: Node) -> Iterator[str]:
    for name, described in sorted(openapi.get("components", {}).get("schemas", {}).items()):
        if "properties" not in described:
            continue
        yield f'<h3 id="{escape(name)}"><code>{escape(name)}</code></h3>'
        rows = ((field, _kind(each), "") for field, each in described["properties"].items())
        yield from _table("Field", rows)


def _table(head: str, rows: Iterator[tuple[str, str, str]]) -> Iterator[str]:
    found = list(rows)
    if not found:
        return
    yield f"<table><tr><th>{head}<th>Type<th></tr>"
    for first, kind, last in found:
        yield f"<tr><td><code>{escape(first)}</code><td>{kind}<td>{escape(last)}</tr>"
    yield "</table>"


def _kind(described: Node) -> str:
    """A schema in a few words, with links; it is HTML."""
    if "$ref" in described:
        name = escape(str(described["$ref"]).rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for way in ("oneOf", "anyOf", "allOf"):
        if way in described:
            return " or ".join(_kind(each) for each in described[way])
    if "enum" in described:
        return " | ".join(f"<code>{escape(str(each))}</code>" for each in described["enum"])
    kind = described.get("type", "")
    if kind == "array":
        return f"list of {_kind(described.get('items', {}))}"
    if kind == "object" and isinstance(described.get("additionalProperties"), Mapping):
        return f"map to {_kind(described['additionalProperties'])}"
    return escape(str(described.get("format") or kind))
