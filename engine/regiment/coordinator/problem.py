"""What the HTTP API answers when it cannot: one line of reason, in our words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from regiment.coordinator import query, schema
from regiment.errors import RegimentError
from regiment.worker import control

PROBLEM_TYPE = "application/json"
DETAIL_CHARS = 500
"""Length of a reason, which may quote what was sent."""

# what handlers call parameters whose own names they cannot use
_PARAMETERS = {"wanted": "state", "data": "body"}

logger = structlog.get_logger()


def _problem(
    status_code: int, detail: str, headers: Mapping[str, str] | None = None
) -> Response[schema.Problem]:
    return Response(
        schema.Problem(status_code, detail),
        status_code=status_code,
        media_type=PROBLEM_TYPE,
        headers=dict(headers or {}),
    )


def on_http_exception(_: Request[Any, Any, Any], error: HTTPException) -> Response[schema.Problem]:
    """What litestar finds wrong with a request, and what is raised above."""
    detail = error.detail
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        # e.g. [{"key": "limit", "message": "Expected `int` <= 1000"}]
        keys = [each.get("key", "") for each in error.extra]
        named = [_PARAMETERS.get(key, key) for key in keys]
        wrong = [
            f"{name}: {query.with_values(name, each['message'])}"
            for name, each in zip(named, error.extra, strict=True)
        ]
        detail = "; ".join(wrong) or detail
    elif error.status_code in (404, 405) and type(error) is not HTTPException:
        detail = "there is nothing at this path" if error.status_code == 404 else "not so here"
    return _problem(error.status_code, detail[:DETAIL_CHARS], error.headers)


def on_own_error(_: Request[Any, Any, Any], error: RegimentError) -> Response[schema.Problem]:
    """A worker that cannot answer, or one listener too many: for now."""
    return _problem(503, str(error), {"Retry-After": "1"})


def on_undecodable(_: Request[Any, Any, Any], error: Exception) -> Response[schema.Problem]:
    """A body or a query that is no text, no JSON, or nested without end."""
    if isinstance(error, UnicodeError):
        return _problem(400, "what was sent is not in UTF-8")
    return _problem(400, "what was sent is not understood")


def on_mistake(request: Request[Any, Any, Any], error: Exception) -> Response[schema.Problem]:
    """Ours. The text of a foreign exception may quote anything: it is told in our words."""
    reason = control.reason_of(error)
    logger.error("a request failed", path=request.scope["path"], reason=reason)
    return _problem(500, "internal error: see the log")
