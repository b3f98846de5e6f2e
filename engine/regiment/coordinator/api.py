"""The HTTP API of a running engine: what it answers, and in which words when it cannot.

Every registration is found by its name, percent-encoded in the path (a slash in a name is ``%2F``).
Acts are begun and not waited for: rate limits and registrars decide when they are done, and the
stream of events tells.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal, Protocol, TypeVar
from urllib.parse import unquote

import msgspec
from litestar import Litestar, Request, Response, get, post
from litestar.background_tasks import BackgroundTask
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi import ResponseSpec
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.params import (
    FromQuery,
    JSONBody,
    PathParameter,
    QueryParameter,
    SkipValidation,
)
from litestar.response import Stream

from regiment.coordinator import events, listing, problem, query, rendering, schema
from regiment.coordinator.account import Account
from regiment.coordinator.docs_page import page_of
from regiment.coordinator.reloading import ReloadReport
from regiment.coordinator.targets import Targets
from regiment.errors import ConfigError, LocalError, RegimentError
from regiment.metrics.exposition import Exposition
from regiment.model import Status
from regiment.version import VERSION

_STRICT = tuple(each.__name__ for each in (schema.Many, schema.ManyToRegister, schema.ReloadWish))
_BEARER: list[dict[str, list[str]]] = [{"token": []}]


class Engine(Protocol):
    """What the API needs of `coordinator.Coordinator`."""

    account: Account
    exposition: Exposition
    hub: events.Hub
    targets: Targets

    def complaint(self) -> str: ...
    async def status(self, name: str) -> Status | None: ...
    async def page(self, filters: listing.Filters, limit: int, cursor: str) -> schema.Page: ...
    async def act(
        self, action: str, names: tuple[str, ...], *, everyone: bool
    ) -> tuple[int, tuple[str, ...]]: ...
    async def reload(self, allow_removals: bool) -> ReloadReport: ...


TheEngine = NamedDependency[SkipValidation[Engine]]
Name = Annotated[str, PathParameter(description="Name of the registration, percent-encoded.")]

InState = Annotated[schema.State | None, QueryParameter(name="state")]


class Gone(HTTPException):
    """A cursor whose list is no more."""

    status_code = 410


def problems(**reasons: str) -> dict[int, ResponseSpec]:
    """For the documentation: what may be answered beside the good case (``_404="why"``)."""
    always = {
        "_400": "The request is not understood.",
        "_401": "The token is missing or wrong.",
        "_403": "There is no token to be given, or the request comes from a web page elsewhere.",
        "_413": "The body is too long.",
        "_431": "The head is too long.",
        "_500": "A mistake of the engine's; its log tells more.",
    }
    return {
        int(status[1:]): ResponseSpec(schema.Problem, description=why, generate_examples=False)
        for status, why in {**always, **reasons}.items()
    }


DOWN = "A worker that is asked is being replaced, or the engine stops: ask again."


# ---- metrics and probes


@get(
    "/metrics",
    media_type="text/plain",
    tags=["metrics"],
    responses=problems(),
    summary="All metrics",
    description="Prometheus text, or OpenMetrics where `Accept` asks for it.",
)
async def metrics(request: Request[Any, Any, Any], engine: TheEngine) -> Response[bytes]:
    """What Prometheus scrapes."""
    body, content_type = engine.exposition.render(request.headers.get("accept", ""))
    if content_type.startswith("text/"):
        # litestar adds it to what is text
        content_type = content_type.removesuffix("; charset=utf-8")
    return Response(body, media_type=content_type)


@get("/livez", media_type="text/plain", tags=["probes"], summary="The process answers")
async def livez() -> str:
    """Liveness."""
    return "ok\n"


@get(
    "/readyz",
    media_type="text/plain",
    tags=["probes"],
    summary="Every worker registers",
    responses={503: ResponseSpec(str, description="Why not.", media_type="text/plain")},
)
async def readyz(engine: TheEngine) -> Response[str]:
    """Readiness."""
    complaint = engine.complaint()
    return Response(f"{complaint or 'ready'}\n", status_code=503 if complaint else 200)


@get("/status", tags=["engine"], summary="The engine in one look", responses=problems())
async def status(engine: TheEngine) -> schema.EngineStatus:
    """Counts by state and registrar, workers, rates, latency, and the reasons of the unhealthy."""
    return await engine.account.status()


# ---- registrations


@get(
    "/registrations",
    tags=["registrations"],
    summary="List registrations",
    description=(
        "Filters are combined. `like` is an RE2 pattern that is searched for in the name; `prefix` "
        "is its beginning; `registrar` is host[:port] of server_uri in lower case. The order is "
        "the engine's own. Go on with `cursor` until it is null: a page may be short."
    ),
    responses=problems(_410="The list is no more: begin again without a cursor.", _503=DOWN),
)
async def listed(
    engine: TheEngine,
    wanted: InState = None,
    registrar: Annotated[str, QueryParameter(max_length=300)] = "",
    prefix: Annotated[str, QueryParameter(max_length=300)] = "",
    like: Annotated[str, QueryParameter(max_length=schema.PATTERN_BYTES_MAX)] = "",
    limit: Annotated[int, QueryParameter(ge=1, le=schema.MOST_LISTED)] = schema.LISTED,
    cursor: Annotated[str, QueryParameter(max_length=100)] = "",
) -> schema.Page:
    """One page of the list."""
    filters = listing.Filters(wanted or "", registrar.lower(), prefix, like)
    try:
        return await engine.page(filters, limit, cursor)
    except listing.StaleCursor as error:
        raise Gone(str(error)) from None
    except listing.Misunderstood as error:
        raise ValidationException(str(error)) from None


@get(
    "/registrations/{name:str}",
    tags=["registrations"],
    summary="One registration",
    responses=problems(_404="There is none of that name.", _503=DOWN),
)
async def shown(engine: TheEngine, name: Name) -> schema.RegistrationOf:
    """Everything that is known of it."""
    return await _shown(engine, name)


async def _shown(engine: Engine, name: str) -> schema.RegistrationOf:
    found = await engine.status(_name(name))
    if found is None:
        raise HTTPException(_unknown(_name(name)), status_code=404)
    return rendering.registration_of(found, rendering.now_s())


@get(
    "/targets",
    tags=["targets"],
    summary="List targets",
    description=(
        "Where registrations go, with the health of each address. `registrar` is host[:port] of "
        "server_uri in lower case; with `troubled` only those are listed that are not well. Go on "
        "with `cursor` until it is null: a page may be short. A worker that is down is left out."
    ),
    responses=problems(),
)
async def targets(
    engine: TheEngine,
    registrar: Annotated[str, QueryParameter(max_length=300)] = "",
    troubled: FromQuery[bool] = False,
    limit: Annotated[int, QueryParameter(ge=1, le=schema.MOST_LISTED)] = schema.LISTED,
    cursor: Annotated[str, QueryParameter(max_length=1000)] = "",
) -> schema.Targets:
    """One page of the list."""
    try:
        return await engine.targets.page(registrar.lower(), troubled, limit, cursor)
    except listing.Misunderstood as error:
        raise ValidationException(str(error)) from None


# A registration may bear the name of an act: its own page is not hidden by the route of that act.
@get("/registrations/register", include_in_schema=False)
async def shown_register(engine: TheEngine) -> schema.RegistrationOf:
    """The registration `register`."""
    return await _shown(engine, "register")


@get("/registrations/unregister", include_in_schema=False)
async def shown_unregister(engine: TheEngine) -> schema.RegistrationOf:
    """The registration `unregister`."""
    return await _shown(engine, "unregister")


@post(
    "/registrations/{name:str}/register",
    status_code=202,
    tags=["acts"],
    security=_BEARER,
    summary="Refresh one registration now",
    description="With `fresh` it is un-REGISTERed first, and registers anew.",
    responses=problems(_404="There is none of that name.", _503=DOWN),
)
async def register(engine: TheEngine, name: Name, fresh: FromQuery[bool] = False) -> schema.Done:
    """A refresh now, through the rate limits."""
    return await _act_on_one(engine, "fresh" if fresh else "register", name)


@post(
    "/registrations/{name:str}/unregister",
    status_code=202,
    tags=["acts"],
    security=_BEARER,
    summary="Un-REGISTER one registration",
    description="It stays so until it is told to register.",
    responses=problems(_404="There is none of that name.", _503=DOWN),
)
async def unregister(engine: TheEngine, name: Name) -> schema.Done:
    """Removes the binding, and holds the registration."""
    return await _act_on_one(engine, "unregister", name)


@post(
    "/registrations/register",
    status_code=202,
    tags=["acts"],
    security=_BEARER,
    summary="Refresh several registrations, or all",
    responses=problems(_503=DOWN),
)
async def register_many(
    request: Request[Any, Any, Any], engine: TheEngine, data: JSONBody[schema.ManyToRegister]
) -> schema.Done:
    """The same for many."""
    data = await _strictly(request, schema.ManyToRegister)
    return await _act_on_many(engine, "fresh" if data.fresh else "register", data.names, data.all)


@post(
    "/registrations/unregister",
    status_code=202,
    tags=["acts"],
    security=_BEARER,
    summary="Un-REGISTER several registrations, or all",
    responses=problems(_503=DOWN),
)
async def unregister_many(
    request: Request[Any, Any, Any], engine: TheEngine, data: JSONBody[schema.Many]
) -> schema.Done:
    """The same for many."""
    data = await _strictly(request, schema.Many)
    return await _act_on_many(engine, "unregister", data.names, data.all)


Body = TypeVar("Body", schema.Many, schema.ManyToRegister, schema.ReloadWish)


async def _strictly(request: Request[Any, Any, Any], kind: type[Body]) -> Body:
    """The body once more: litestar takes 0 for false, which a client cannot mean."""
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except msgspec.ValidationError as error:
        raise ValidationException(f"body: {error}") from None


Action = Literal["register", "fresh", "unregister"]


async def _act_on_one(engine: Engine, action: Action, name: str) -> schema.Done:
    count, unknown = await engine.act(action, (_name(name),), everyone=False)
    if unknown:
        raise HTTPException(_unknown(_name(name)), status_code=404)
    return schema.Done(action, count, [])


async def _act_on_many(
    engine: Engine, action: Action, names: list[str], everyone: bool
) -> schema.Done:
    if everyone == bool(names):
        raise ValidationException("name registrations, or say all, and not both")
    count, unknown = await engine.act(action, tuple(dict.fromkeys(names)), everyone=everyone)
    return schema.Done(action, count, list(unknown))


# ---- the engine


@post(
    "/reload",
    status_code=200,
    tags=["engine"],
    security=_BEARER,
    summary="Read the configuration again",
    responses=problems(
        _409="Not now, or it would remove too many registrations: nothing was changed.",
        _422="The configuration is unusable: nothing was changed.",
    ),
)
async def reload(
    request: Request[Any, Any, Any],
    engine: TheEngine,
    data: JSONBody[schema.ReloadWish | None] = None,
) -> schema.ReloadDone:
    """Brings the engine to what the configuration says now; the answer is the difference."""
    if data is not None:
        data = await _strictly(request, schema.ReloadWish)
    try:
        report = await engine.reload(data.allow_removals if data else False)
    except ConfigError as error:
        raise HTTPException(str(error), status_code=422) from None
    except LocalError as error:
        raise HTTPException(str(error), status_code=409) from None
    return rendering.reload_done(report)


@get(
    "/events",
    media_type="text/event-stream",
    tags=["engine"],
    summary="Events as they happen (server-sent events)",
    description=(
        "`state`: a registration's state has changed (StateChanged). `call`: a request reached us "
        "and was matched to a registration (CallCame). `dropped`: this client was too slow, and "
        "so many events were not told (Dropped). Filters: the beginning of the name, the state "
        "that was entered, one kind of event."
    ),
    responses=problems(_503="There are enough listeners."),
)
async def stream(
    engine: TheEngine,
    prefix: Annotated[str, QueryParameter(max_length=300)] = "",
    wanted: InState = None,
    kind: FromQuery[events.Kind | None] = None,
) -> Stream:
    """The stream; it ends when the client goes or the engine stops."""
    listener = engine.hub.join(events.Filter(prefix, wanted or "", kind or ""))

    async def leave() -> None:
        engine.hub.leave(listener)

    async def chunks() -> AsyncIterator[bytes]:
        try:
            async for chunk in listener.chunks():
                yield chunk
        finally:
            engine.hub.leave(listener)

    # A client that goes while a chunk is being sent leaves the generator where it stands.
    return Stream(chunks(), background=BackgroundTask(leave))


# ---- about itself


@get("/openapi.json", include_in_schema=False)
async def openapi(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """What there is, for programs."""
    return _document(request.app)


@get("/docs", media_type="text/html", include_in_schema=False)
async def docs(request: Request[Any, Any, Any]) -> Response[str]:
    """The same for people."""
    page = page_of(_document(request.app))
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    return Response(page, headers={"Content-Security-Policy": policy})


def _document(app: Litestar) -> dict[str, Any]:
    """The OpenAPI document, with what litestar does not know: what is strict, what optional."""
    document = app.openapi_schema.to_schema()
    for name in _STRICT:
        document["components"]["schemas"][name]["additionalProperties"] = False
    document["paths"]["/reload"]["post"]["requestBody"]["required"] = False
    return document


# ---- inside


def _name(segment: str) -> str:
    """A name from its percent-encoded form."""
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise ValidationException("a name is in UTF-8, percent-encoded") from None


def _unknown(name: str) -> str:
    return f"there is no registration {name!r}"[: problem.DETAIL_CHARS]


def application(engine: Engine) -> Litestar:
    """The ASGI application. Paths reach it with their percent-encoding (`web.Gate`)."""

    async def the_engine() -> Engine:
        return engine

    return Litestar(
        [
            *(metrics, livez, readyz, status, stream, reload, openapi, docs),
            *(register, unregister, register_many, unregister_many),
            *(targets, listed, shown, shown_register, shown_unregister),
        ],
        dependencies={"engine": the_engine},
        before_request=query.refuse_unknown,
        exception_handlers={
            HTTPException: problem.on_http_exception,
            RegimentError: problem.on_own_error,
            msgspec.DecodeError: problem.on_undecodable,
            UnicodeError: problem.on_undecodable,
            RecursionError: problem.on_undecodable,
            Exception: problem.on_mistake,
        },
        openapi_config=OpenAPIConfig(
            title="regiment",
            version=VERSION,
            description="SIP registrations that are kept alive. Over TCP changes want the token.",
            components=Components(
                security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}
            ),
            render_plugins=[JsonRenderPlugin()],
        ),
        logging_config=None,
    )
