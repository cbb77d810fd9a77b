"""`sangam dicom worklist` and `procedures`: what modalities are told to do."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from adapters.dicom.listing import print_table
from adapters.dicom.storage.cli import in_database
from adapters.dicom.worklist import catalogue, procedures
from adapters.dicom.worklist.follow import rebuild
from adapters.dicom.worklist.listing import Wanted, listed
from adapters.dicom.worklist.order import Json
from fhir_server import jobs
from fhir_server.errors import BadRequest, NotFound

app = typer.Typer(help="The modality worklist.", no_args_is_help=True)
procedures_app = typer.Typer(
    help="The catalogue of procedures: what an order of a code is to a modality.",
    no_args_is_help=True,
)

Code = Annotated[str, typer.Argument(help="`system|code`, or a code of no system.")]


@app.command("list")
def list_worklist(
    context: typer.Context,
    *,
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only what starts on this day.")
    ] = None,
    station: Annotated[str | None, typer.Option(help="Only for this AE title.")] = None,
    modality: Annotated[str | None, typer.Option(help="Only of this modality.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Also what left the list.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="So many at most.")] = 200,
) -> None:
    """Show what is scheduled; patients by initials and the end of their id.

    Example: sangam dicom worklist list --day 2026-03-02 --modality CT
    """
    wanted = Wanted(f"{day:%Y%m%d}" if day else None, station, modality, every, limit)
    table = Table("start", "status", "modality", "stations", "step", "accession", "patient", "what")
    for one in in_database(context, lambda connection: listed(connection, wanted)):
        table.add_row(
            one.start,
            one.status,
            one.modality or "-",
            " ".join(one.stations) or "-",
            one.step_id,
            one.accession_number,
            one.patient,
            one.description,
        )
    print_table(table)


@app.command("refresh")
def refresh_worklist(context: typer.Context) -> None:
    """Have every active order looked at again, after a change of settings or peers."""
    in_database(context, lambda connection: jobs.enqueue_sync(connection, [rebuild()]))
    typer.echo("The orders will be looked at again")


@procedures_app.command("list")
def list_procedures(context: typer.Context) -> None:
    """Show the catalogue."""
    table = Table("code", "modality", "description", "stations", "minutes", "protocols")
    for one in in_database(context, procedures.everything):
        table.add_row(
            f"{one.system}|{one.code}",
            one.modality,
            one.description,
            " ".join(one.stations),
            str(one.minutes or "-"),
            " ".join(str(each["code"]) for each in one.protocols),
        )
    print_table(table)


@procedures_app.command("add")
def add_procedure(
    context: typer.Context,
    code: Code,
    modality: Annotated[str, typer.Argument(help="Such as CT, MR, DX.")],
    *,
    description: Annotated[str, typer.Option(help="What modalities show; at most 64.")] = "",
    station: Annotated[
        list[str] | None, typer.Option(help="AE title of the group that may do it.")
    ] = None,
    protocol: Annotated[
        list[str] | None, typer.Option(help="`system|code|meaning` of a protocol.")
    ] = None,
    requested: Annotated[
        str | None, typer.Option(help="`system|code|meaning`, where it is not the order's code.")
    ] = None,
    minutes: Annotated[int | None, typer.Option(min=1, help="How long it takes.")] = None,
) -> None:
    """Add a procedure, or put it in the place of that of its code.

    Example: sangam dicom procedures add "http://loinc.org|30799-1" CT --station CT1 --minutes 20
    """
    system, value = _code(code)
    one = catalogue.valid(
        {
            "system": system,
            "code": value,
            "modality": modality,
            "description": description,
            "stations": station or [],
            "protocols": [_coding(each) for each in protocol or ()],
            "requested": _coding(requested) if requested else None,
            "minutes": minutes,
        }
    )
    _put(context, [one])
    typer.echo(f"{code} is {modality}")


@procedures_app.command("load")
def load_procedures(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A TOML file.")],
) -> None:
    """Add the procedures of a file, in the place of those of the same codes.

    Example: sangam dicom procedures load procedures.toml
    """
    found = catalogue.read(file.read_text())
    typer.echo(f"{len(found)} procedures, {_put(context, found)} new or changed")


@procedures_app.command("remove")
def remove_procedure(context: typer.Context, code: Code) -> None:
    """Take a procedure out of the catalogue."""
    system, value = _code(code)
    if not in_database(context, lambda connection: procedures.remove(connection, system, value)):
        raise NotFound(f"The catalogue has no {code}")
    in_database(context, lambda connection: jobs.enqueue_sync(connection, [rebuild()]))
    typer.echo(f"{code} is no procedure any more")


def _put(context: typer.Context, found: list[catalogue.Procedure]) -> int:
    """Write procedures, and have the orders looked at again if that changes something."""
    changed = in_database(context, lambda connection: procedures.put(connection, found))
    if changed:
        in_database(context, lambda connection: jobs.enqueue_sync(connection, [rebuild()]))
    return changed


def _code(text: str) -> tuple[str, str]:
    system, _, code = text.rpartition("|")
    if not code:
        raise BadRequest("A code is `system|code`, or a code of no system")
    return system, code


def _coding(text: str) -> Json:
    """Return the coding of `system|code|meaning`."""
    parts = text.split("|")
    if len(parts) != len(("system", "code", "meaning")) or not parts[1]:
        raise BadRequest("A coding is `system|code|meaning`; system and meaning may be empty")
    return {"system": parts[0], "code": parts[1], "display": parts[2]}
