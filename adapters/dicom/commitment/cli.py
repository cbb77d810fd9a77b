"""`sangam dicom commitments`: requests for storage commitment, and whether they were answered."""

from typing import Annotated

import typer
from rich.table import Table

from adapters.dicom.commitment import rows
from adapters.dicom.commitment.rows import Commitment
from adapters.dicom.listing import print_table
from adapters.dicom.storage.cli import in_database
from fhir_server.errors import NotFound

app = typer.Typer(help="Requests for storage commitment.", no_args_is_help=True)

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="The number in the list.")]


@app.command("list")
def list_commitments(
    context: typer.Context,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that were reported or dismissed.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
) -> None:
    """Show the requests whose requesters do not know yet what is safe here.

    Example: sangam dicom commitments list --all
    """
    found = in_database(
        context, lambda connection: rows.listed(connection, everything=everything, limit=limit)
    )
    print_table(_table(found))


@app.command()
def show(context: typer.Context, number: Number) -> None:
    """Show one request, and which of its instances cannot be committed."""
    found = in_database(context, lambda connection: rows.one(connection, number))
    if found is None:
        raise NotFound(f"There is no commitment {number}")
    typer.echo(f"transaction: {found.request.transaction_uid} of {found.calling_ae}")
    typer.echo(f"state: {found.state}, {found.attempts} reports sent")
    if found.failure:
        typer.echo(f"last failure: {found.failure}")
    reasons = {uid: reason for _, uid, reason in found.failed or ()}
    for _, uid in found.request.references:
        told = f"failed {reasons[uid]:04X}" if uid in reasons else "committed"
        typer.echo(f"{uid}: {'not decided' if found.failed is None else told}")


@app.command()
def retry(context: typer.Context, number: Number) -> None:
    """Report a commitment now, also one that was reported or dismissed."""
    if not in_database(context, lambda connection: rows.report_again(connection, number)):
        raise NotFound(f"There is no commitment {number}")
    typer.echo(f"Commitment {number} is reported as soon as a worker has time")


@app.command()
def dismiss(context: typer.Context, number: Number) -> None:
    """End a commitment without a report: the requester will never be told."""
    if not in_database(context, lambda connection: rows.dismiss(connection, number)):
        raise NotFound(f"There is no open commitment {number}")
    typer.echo(f"Commitment {number} is dismissed")


def _table(found: list[Commitment]) -> Table:
    names = ("number", "requester", "state", "asked", "instances", "failed", "sent", "next")
    table = Table(*names, "last failure")
    for one in found:
        table.add_row(
            str(one.id),
            one.calling_ae,
            one.state,
            f"{one.requested_at:%Y-%m-%d %H:%M}",
            str(len(one.request.references)),
            "-" if one.failed is None else str(len(one.failed)),
            str(one.attempts),
            f"{one.report_at:%Y-%m-%d %H:%M}" if one.report_at else "-",
            one.failure or "",
        )
    return table
