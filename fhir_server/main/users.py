"""`sangam user`: who may log in, in which roles."""

import asyncio
from collections.abc import Awaitable, Callable
from getpass import getpass
from typing import Annotated, TypeVar

import psycopg
import typer
from rich.console import Console
from rich.table import Column, Table

from fhir_server.access import role_store, role_table
from fhir_server.audit.happening import ROLES_CHANGED, USERS_CHANGED, happened
from fhir_server.caller import trusted
from fhir_server.database import Connection
from fhir_server.errors import NotFound
from fhir_server.identity import grants, passwords, second_factor, sessions, users
from fhir_server.identity.users import Draft, User
from fhir_server.keys import new_id
from fhir_server.main.databases import database_of
from fhir_server.main.options import fail
from fhir_server.main.schema import migrate
from fhir_server.main.target import Target

app = typer.Typer(
    help="Users: who may log in, as whom and in which roles.",
    no_args_is_help=True,
)
CALLER = trusted("operator", "cli")
_SHIPPED = tuple(role_table.shipped().roles)
_T = TypeVar("_T")

Name = Annotated[str, typer.Argument(help="What the person types to log in.")]
Roles = Annotated[
    list[str] | None, typer.Option("--role", help=f"One of {', '.join(_SHIPPED)}, or your own.")
]
FhirUser = Annotated[
    str | None, typer.Option(help="Who it is in FHIR, as Practitioner/1 or Patient/2.")
]
Stdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]


@app.command()
def add(
    context: typer.Context,
    name: Name,
    *,
    role: Roles = None,
    fhir_user: FhirUser = None,
    display: Annotated[str | None, typer.Option(help="The person's name.")] = None,
    password_stdin: Stdin = False,
) -> None:
    """Add a user, whose password is asked for. Staff set up a second factor at the first login.

    Example: `sangam user add asha --role DOCTOR --fhir-user Practitioner/1 --display "Dr Rao"`
    """
    _check_reference(fhir_user)
    target: Target = context.obj
    hashed = _password(target, name, from_stdin=password_stdin)

    async def work(connection: Connection) -> None:
        found = await _roles(connection, role)
        draft = Draft(name, display or name, fhir_user, found, hashed)
        await users.add(connection, new_id(), draft)
        await happened(connection, CALLER, USERS_CHANGED, about=[users.normal(name)])

    # The first user is there before the server first starts.
    if target.tenant is None:
        with database_of(target.installation()) as conninfo:
            _prepare(conninfo)
    _run(context, work)
    Console(markup=False).print(f"{users.normal(name)} may log in.")


@app.command("list")
def list_users(context: typer.Context) -> None:
    """Show the users, their roles, and whether they have a second factor.

    Example: `sangam user list`
    """
    table = Table(
        Column("name", no_wrap=True), "person", "in FHIR", "roles", "second factor", "may log in"
    )
    for one in _run(context, users.listed):
        factor = _factors(one)
        state = "in demo mode" if one.demo else "yes" if one.active else "no"
        who = (one.name, one.display, one.fhir_user or "", ", ".join(one.roles))
        table.add_row(*who, factor, state)
    Console(markup=False).print(table)


@app.command()
def roles(context: typer.Context, name: Name, role: Roles = None) -> None:
    """Set the roles of a user, in place of those before. It acts on the next request.

    Example: `sangam user roles asha --role DOCTOR --role ADMIN`
    """

    async def work(connection: Connection, user: User) -> None:
        await users.set_roles(connection, user.id, await _roles(connection, role))
        await happened(connection, CALLER, ROLES_CHANGED, about=[user.name])

    _of(context, name, work)
    Console(markup=False).print(f"{users.normal(name)} is {', '.join(role or ())}.")


@app.command("fhir-user")
def fhir_user_of(context: typer.Context, name: Name, reference: str) -> None:
    """Say who a user is in FHIR.

    Example: `sangam user fhir-user asha Practitioner/1`
    """
    _check_reference(reference)

    async def work(connection: Connection, user: User) -> None:
        await users.set_fhir_user(connection, user.id, reference)
        await happened(connection, CALLER, USERS_CHANGED, about=[user.name])

    _of(context, name, work)
    Console(markup=False).print(f"{users.normal(name)} is {reference}.")


@app.command()
def password(context: typer.Context, name: Name, *, password_stdin: Stdin = False) -> None:
    """Set a new password, log the user out everywhere, and end what apps hold for it.

    Example: `sangam user password asha`
    """
    hashed = _password(context.obj, name, from_stdin=password_stdin)

    async def work(connection: Connection, user: User) -> None:
        await users.set_password(connection, user.id, hashed)
        await sessions.end_all(connection, user.id)
        # Whoever knew the old one may have let an app in that needs no session.
        await grants.end(connection, "user_id", user.id, "new password by an operator")
        await happened(connection, CALLER, USERS_CHANGED, about=[user.name])

    _of(context, name, work)
    Console(markup=False).print(
        f"{users.normal(name)} has a new password and is logged out everywhere."
    )


@app.command("forget-device")
def forget_device(context: typer.Context, name: Name) -> None:
    """Let a user who lost phone or passkeys set up a second factor anew at the next login.

    Make sure first that it is the person who asks. Example: `sangam user forget-device asha`
    """

    async def work(connection: Connection, user: User) -> None:
        await second_factor.forget(connection, user.id)
        await sessions.end_all(connection, user.id)
        await happened(connection, CALLER, USERS_CHANGED, about=[user.name])

    _of(context, name, work)
    Console(markup=False).print(f"{users.normal(name)} sets up a second factor at the next login.")


@app.command()
def block(context: typer.Context, name: Name) -> None:
    """Let a user log in no more, log it out, and end what apps hold for it.

    Example: `sangam user block asha`
    """

    async def work(connection: Connection, user: User) -> None:
        await users.set_active(connection, user.id, active=False)
        await sessions.end_all(connection, user.id)
        await grants.end(connection, "user_id", user.id, "user blocked")
        await happened(connection, CALLER, USERS_CHANGED, about=[user.name])

    _of(context, name, work)
    Console(markup=False).print(f"{users.normal(name)} is logged out and may log in no more.")


@app.command()
def unblock(context: typer.Context, name: Name) -> None:
    """Let a blocked user log in again.

    Example: `sangam user unblock asha`
    """

    async def work(connection: Connection, user: User) -> None:
        await users.set_active(connection, user.id, active=True)
        await happened(connection, CALLER, USERS_CHANGED, about=[user.name])

    _of(context, name, work)
    Console(markup=False).print(f"{users.normal(name)} may log in again.")


def _factors(user: User) -> str:
    if not user.has_factor:
        return "no"
    phone = ["a phone"] if user.seed else []
    keys = [f"{user.passkeys} passkey{'s' if user.passkeys > 1 else ''}"] if user.passkeys else []
    return ", ".join([*phone, *keys, f"{user.codes} codes left"])


def _password(target: Target, name: str, *, from_stdin: bool) -> str:
    """Return the hash of a password that is typed twice, or read."""
    settings = target.settings().security.identity.password
    if from_stdin:
        given = typer.get_text_stream("stdin").readline().rstrip("\n")
    else:
        given = getpass("Password: ")
        if given != getpass("Once more: "):
            fail("The two are not the same.")
    passwords.check(settings, given, users.normal(name))
    return asyncio.run(passwords.hashed(settings, given))


def _prepare(conninfo: str) -> None:
    """Make the tables of a database that has none of users yet."""
    with psycopg.connect(conninfo) as connection:
        row = connection.execute("SELECT to_regclass('identity_user') IS NULL").fetchone()
    if row is None or row[0]:
        migrate(conninfo)


async def _roles(connection: Connection, given: list[str] | None) -> tuple[str, ...]:
    """Return roles that are in force, the tenant's own among them."""
    known = (await role_store.table(connection)).roles
    if not given or not set(given) <= known.keys():
        fail(f"Name at least one --role of {', '.join(known)}.")
    return tuple(dict.fromkeys(given))


def _check_reference(reference: str | None) -> None:
    known = ("Practitioner", "PractitionerRole", "Patient", "RelatedPerson")
    type_name, _, id_ = (reference or "Practitioner/1").partition("/")
    if type_name not in known or not id_:
        fail(f"--fhir-user is a reference to one of {', '.join(known)}, as Practitioner/1.")


def _of(
    context: typer.Context, name: str, work: Callable[[Connection, User], Awaitable[None]]
) -> None:
    """Do the work for the user of that name."""

    async def found(connection: Connection) -> None:
        user = await users.by_name(connection, name)
        if user is None:
            raise NotFound("There is no user of that name; `sangam user list` shows them")
        await work(connection, user)

    _run(context, found)


def _run(context: typer.Context, work: Callable[[Connection], Awaitable[_T]]) -> _T:
    """Do the work in one transaction of the database that the command line opens."""
    opening: Target = context.obj

    async def working() -> _T:
        async with opening() as database, database.transaction() as connection:
            return await work(connection)

    return asyncio.run(working())
