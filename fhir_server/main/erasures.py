"""`sangam erasures`: who is to be erased, who must not be, and erasing again after a restore."""

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from fhir_server.audit import ledger
from fhir_server.audit.happening import ERASURE, happened
from fhir_server.caller import Caller, trusted
from fhir_server.interactions import erasure
from fhir_server.main.target import Target
from fhir_server.main.wiring import ERASERS
from fhir_server.server import Server

app = typer.Typer(
    help="Erasure of patients: requests, legal holds, and erasing again after a restore.",
    no_args_is_help=True,
)
Patient = Annotated[str, typer.Argument(metavar="ID", help="Id of the Patient.")]
By = Annotated[str | None, typer.Option(help="Who does this.", show_default="the account")]

_T = TypeVar("_T")


def _caller(by: str | None = None) -> Caller:
    return trusted(by or getpass.getuser(), "cli")


def _run(context: typer.Context, work: Callable[[Server], Awaitable[_T]]) -> _T:
    target: Target = context.obj

    async def working() -> _T:
        async with target.server() as server:
            return await work(server)

    return asyncio.run(working())


@app.command("list")
def list_requests(context: typer.Context) -> None:
    """Show the requests; those that were carried out name nobody.

    Example: `sangam erasures list`
    """

    async def found(server: Server) -> list[ledger.Request]:
        async with server.database.connection() as connection:
            return await ledger.requests(connection)

    table = Table("request", "patient", "state", "asked by", "approved by", "reason")
    for one in _run(context, found):
        people = (one.asked_by, one.approved_by or "")
        table.add_row(str(one.id), one.patient, one.state, *people, one.reason)
    Console(markup=False).print(table)


@app.command()
def ask(
    context: typer.Context,
    patient: Patient,
    reason: Annotated[str, typer.Option(help="Why.")],
    by: By = None,
) -> None:
    """Ask for an erasure, which another person has to approve.

    Example: `sangam erasures ask ann --reason "asked for by letter"`
    """
    number = _run(context, lambda server: erasure.ask(server, _caller(by), patient, reason))
    Console(markup=False).print(f"Request {number} waits for the approval of another person.")


@app.command()
def approve(context: typer.Context, patient: Patient, by: By = None) -> None:
    """Approve what another person asked for; a worker carries it out.

    Example: `sangam erasures approve ann --by "second person"`
    """
    number = _run(context, lambda server: erasure.approve(server, _caller(by), patient))
    Console(markup=False).print(f"Request {number} is approved.")


@app.command()
def hold(
    context: typer.Context,
    patient: Patient,
    reason: Annotated[str, typer.Option(help="Why.")],
) -> None:
    """Keep a patient from being erased.

    Example: `sangam erasures hold ann --reason "court order"`
    """

    async def held(server: Server) -> None:
        caller = _caller()
        async with server.database.transaction() as connection:
            await ledger.hold(connection, patient, reason, caller.name)
            about = [f"Patient/{patient}"]
            await happened(connection, caller, ERASURE, about=about, detail="held")

    _run(context, held)
    Console(markup=False).print("The patient will not be erased.")


@app.command()
def release(context: typer.Context, patient: Patient) -> None:
    """End a legal hold.

    Example: `sangam erasures release ann`
    """

    async def released(server: Server) -> bool:
        async with server.database.transaction() as connection:
            about = [f"Patient/{patient}"]
            await happened(connection, _caller(), ERASURE, about=about, detail="released")
            return await ledger.release(connection, patient)

    Console(markup=False).print(
        "The hold has ended." if _run(context, released) else "There was no hold."
    )


@app.command("apply")
def apply_again(context: typer.Context) -> None:
    """Erase again what a restored database brought back; to be done before it is served.

    Example: `sangam erasures apply`
    """
    count = _run(context, lambda server: erasure.apply(server, ERASERS))
    Console(markup=False).print(f"{count:,} resources were erased again.")
