"""`sangam client`: the apps and systems that may ask for tokens."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from fhir_server.audit.happening import CLIENTS_CHANGED, happened
from fhir_server.caller import trusted
from fhir_server.errors import NotFound
from fhir_server.identity import clients, grants, opaque, registration, standing
from fhir_server.keys import new_id
from fhir_server.main.options import fail
from fhir_server.main.target import Target

app = typer.Typer(
    help="Clients: apps and systems that may ask for tokens.",
    no_args_is_help=True,
)
CALLER = trusted("operator", "cli")
SYSTEM = "client_credentials"

Id = Annotated[str, typer.Argument(help="The client's id.")]


@app.command()
def add(  # noqa: PLR0913  (one parameter a flag)
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What users know the app by.")],
    *,
    scope: Annotated[str, typer.Option(help="All scopes that it may ask for, in quotes.")],
    redirect_uri: Annotated[
        list[str] | None, typer.Option(help="Where an app is sent back to; more than once.")
    ] = None,
    launch_uri: Annotated[
        str | None, typer.Option(help="Where it is opened for a patient.")
    ] = None,
    secret: Annotated[
        bool, typer.Option("--secret", help="It keeps a secret, shown once.")
    ] = False,
    jwks: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="File with its JWK set.")
    ] = None,
    jwks_uri: Annotated[str | None, typer.Option(help="URL of its JWK set.")] = None,
    system: Annotated[
        bool, typer.Option("--system", help="It is a backend service, without users.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="It may have refresh tokens.")] = False,
    preapproved: Annotated[
        bool, typer.Option("--preapproved", help="Users are not asked to agree.")
    ] = False,
    launches: Annotated[
        bool, typer.Option("--launches", help="It is an EHR that opens apps.")
    ] = False,
    introspection: Annotated[
        bool, typer.Option("--introspection", help="It may ask about all tokens.")
    ] = False,
    client_id: Annotated[str | None, typer.Option(help="Its id.", show_default="a new one")] = None,
) -> None:
    """Register an app, or with --system a backend service.

    Without --secret, --jwks and --jwks-uri it is a public app, which can keep no secret.

    Example: `sangam client add "Growth chart" --redirect-uri https://app.example.org/back
    --launch-uri https://app.example.org/launch --scope "launch openid fhirUser patient/*.rs"`
    """
    has_keys = jwks is not None or jwks_uri is not None
    method = "private_key_jwt" if has_keys else "client_secret_basic" if secret else "none"
    grant_types = [SYSTEM] if system else ["authorization_code"]
    grant_types += ["refresh_token"] if offline else []
    grant_types += ["launch"] if launches else []
    grant_types += ["introspection"] if introspection else []
    metadata: dict[str, Any] = {
        "client_name": name,
        "token_endpoint_auth_method": method,
        "grant_types": grant_types,
        "redirect_uris": redirect_uri or [],
        "scope": scope,
        "launch_uri": launch_uri,
        "jwks_uri": jwks_uri,
        "jwks": json.loads(jwks.read_text()) if jwks else None,
    }
    given = opaque.new()
    told = {name: one for name, one in metadata.items() if one is not None}
    client = registration.client_of(told, client_id or new_id(), given, preapproved=preapproved)

    async def work() -> None:
        target: Target = context.obj
        async with target() as database, database.transaction() as connection:
            await clients.add(connection, client, CALLER.name)
            await happened(connection, CALLER, CLIENTS_CHANGED, about=[client.id])

    asyncio.run(work())
    Console(markup=False).print(f"client_id      {client.id}")
    if client.secret is not None:
        Console(markup=False).print(f"client_secret  {given}   (it is not shown again)")


@app.command("list")
def list_clients(context: typer.Context) -> None:
    """Show the clients.

    Example: `sangam client list`
    """

    async def work() -> list[clients.Client]:
        target: Target = context.obj
        async with target() as database, database.connection() as connection:
            return await clients.listed(connection)

    table = Table(
        Column("id", no_wrap=True), "name", "authenticates by", "grants", "scope", "in use"
    )
    for one in asyncio.run(work()):
        state = "in demo mode" if one.demo else "yes" if one.active else "no"
        row = (one.id, one.name, one.authentication, " ".join(one.grants), one.scope, state)
        table.add_row(*row)
    Console(markup=False).print(table)


@app.command()
def block(context: typer.Context, client_id: Id) -> None:
    """Let a client in no more, and revoke all that it holds.

    Example: `sangam client block 0190...`
    """
    _set(context, client_id, active=False)
    Console(markup=False).print("The client is let in no more; its tokens are revoked.")


@app.command()
def unblock(context: typer.Context, client_id: Id) -> None:
    """Let a blocked client in again; it needs new tokens.

    Example: `sangam client unblock 0190...`
    """
    _set(context, client_id, active=True)
    Console(markup=False).print("The client is let in again.")


@app.command("revoke-token")
def revoke_token(context: typer.Context, issuer: str, jti: str) -> None:
    """Refuse a token of an issuer outside within seconds, by its `jti` (AuditEvents have it).

    Example: `sangam client revoke-token https://login.hospital.example/realms/care 7f3c...`
    """

    async def work() -> None:
        target: Target = context.obj
        async with target() as database, database.transaction() as connection:
            await standing.revoke(connection, issuer, jti)
            await happened(connection, CALLER, CLIENTS_CHANGED, about=[issuer], detail=jti)

    asyncio.run(work())
    Console(markup=False).print("The token is refused from now on.")


def _set(context: typer.Context, client_id: str, *, active: bool) -> None:
    async def work() -> None:
        target: Target = context.obj
        async with target() as database, database.transaction() as connection:
            if not await clients.set_active(connection, client_id, active=active):
                raise NotFound("There is no such client; `sangam client list` shows them")
            if not active:
                await grants.end(connection, "client_id", client_id, "client blocked")
            await happened(connection, CALLER, CLIENTS_CHANGED, about=[client_id])

    if not client_id:
        fail("Name the client.")
    asyncio.run(work())
