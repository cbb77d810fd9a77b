"""The HTTP application: the FHIR API, operations for people and machines."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import FastAPI
from starlette.routing import BaseRoute, Mount

from fhir_server.api import docs, ops, rest
from fhir_server.api.answer import Send
from fhir_server.api.guard import behind_doors
from fhir_server.api.limits import InFlight
from fhir_server.api.outside import labelled, limited
from fhir_server.api.request import Receive
from fhir_server.api.sharing import shared
from fhir_server.identity import routes as identity
from fhir_server.identity.doors import PUBLIC, Doors, marked
from fhir_server.server import Server

Asgi = Callable[[Any, Receive, Send], Awaitable[None]]


def create_app(
    server: Server, figures: Sequence[ops.Figures] = (), beside: Sequence[BaseRoute] = ()
) -> Asgi:
    """Return the ASGI application of one process; `figures` add to its metrics.

    `beside` are routes of adapters, outside of the FHIR base.

    The FHIR base goes straight to its own grammar: FastAPI's routing would cost
    more than a read.
    """
    doors = Doors(server)
    outer = FastAPI(title="Sangam", openapi_url=None)
    known = [*ops.routes(server, figures), *docs.routes(server), *beside]
    known += identity.operator_routes(server)
    own = [*identity.routes(server), *identity.well_known(server, rest.ROOT)]
    routes = behind_doors(server, doors, [*known, *marked(own, PUBLIC)])
    outer.router.routes.extend(routes)
    paths = [f"{one.path}/" for one in beside if isinstance(one, Mount)]
    others = labelled(limited(outer, InFlight(server.settings.limits), paths), doors.headers)
    fhir = shared(rest.asgi(server, doors), doors, open_to_all=(f"{rest.ROOT}/metadata",))
    inside, well_known = f"{rest.ROOT}/", f"{rest.ROOT}/.well-known/"

    async def app(scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401  (ASGI)
        if scope["type"] == "http" and (
            (scope["path"].startswith(inside) and not scope["path"].startswith(well_known))
            or scope["path"] == rest.ROOT
        ):
            await fhir(scope, receive, send)
        else:
            await others(scope, receive, send)

    return app
