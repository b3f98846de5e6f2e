"""The query of a request: what each path knows, so that a misspelt filter is not taken for none."""

from __future__ import annotations

from typing import Any, get_args

from litestar import Request
from litestar.exceptions import ValidationException
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter

from regiment.coordinator import events, schema

_OPEN_TAGS = frozenset({"metrics", "probes"})
"""Scrapers and balancers may add what they like."""
_VALUES: dict[str, tuple[str, ...]] = {
    "state": get_args(schema.State),
    "kind": get_args(events.Kind),
}


async def refuse_unknown(request: Request[Any, Any, Any]) -> None:
    """Before each request. Raises `ValidationException` that names the parameters there are."""
    if not request.scope["query_string"]:
        return
    handler = request.route_handler
    if _OPEN_TAGS.intersection(getattr(handler, "tags", None) or ()):
        return
    known = parameters_of(handler)
    unknown = sorted(set(request.query_params) - set(known))
    if unknown:
        there_are = f"there are {', '.join(known)}" if known else "there are none here"
        raise ValidationException(f"unknown parameter {', '.join(map(repr, unknown))}: {there_are}")


def parameters_of(handler: BaseRouteHandler) -> list[str]:
    """The parameters that a handler reads from the query."""
    fields = handler.parsed_fn_signature.parameters.items()
    return [
        field.kwarg_definition.name or name
        for name, field in fields
        if isinstance(field.kwarg_definition, QueryParameter)
    ]


def with_values(parameter: str, message: str) -> str:
    """What is wrong with a parameter, and where only a few values are possible, these."""
    values = _VALUES.get(parameter)
    return f"{message}: one of {', '.join(values)}" if values else message
