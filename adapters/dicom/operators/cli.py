"""`sangam dicom studies`, `unmatched` and `conflicts`: what waits for somebody, and deciding it."""

import asyncio
import getpass
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Final, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from adapters.dicom.dataset.rejections import QUALITY, TITLES
from adapters.dicom.listing import print_table
from adapters.dicom.operators import desk, views
from adapters.dicom.studies import conflicts, corrections
from adapters.dicom.studies.rejection import Target
from fhir_server.database import Connection
from fhir_server.server import Server

_T = TypeVar("_T")
Work = Callable[[Server, Connection], Awaitable[_T]]

studies_app = typer.Typer(
    help="Studies: what came, whose they are, correcting and rejecting them.",
    no_args_is_help=True,
)
unmatched_app = typer.Typer(
    help="Studies whose patient is not known: find it, create it, or split the study.",
    no_args_is_help=True,
)
conflicts_app = typer.Typer(
    help="Other contents of known instances: keep the first, or take the other.",
    no_args_is_help=True,
)

StudyUid = Annotated[str, typer.Argument(metavar="STUDY", help="Study Instance UID.")]
By = Annotated[str, typer.Option(help="Who does it, as it is recorded.", show_default="you")]
SeriesOption = Annotated[str | None, typer.Option(help="Only this series.")]
InstanceOption = Annotated[str | None, typer.Option(help="Only this instance.")]
ConflictId = Annotated[int, typer.Argument(metavar="ID", help="Its number in the list.")]
LimitOption = Annotated[int, typer.Option(min=1, help="How many.")]

_COLUMNS: Final = (
    *("study", "date", "accession", "description", "modalities"),
    *("instances", "match", "received_at"),
)


def _run(context: typer.Context, work: Work[_T]) -> _T:
    """Do something in one transaction of a server over the database."""

    async def main() -> _T:
        opening: Callable[[], AbstractAsyncContextManager[Server]] = context.obj.server
        async with opening() as server, server.database.transaction() as connection:
            return await work(server, connection)

    return asyncio.run(main())


def _actor(by: str) -> str:
    return f"{by or getpass.getuser()} at the command line"


def _print(columns: tuple[str, ...], rows: list[views.Row]) -> None:
    table = Table(*(one.replace("_", " ") for one in columns))
    for row in rows:
        table.add_row(*(_cell(row.get(one)) for one in columns))
    print_table(table)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return " ".join(str(one) for one in value if one)
    return f"{value:%Y-%m-%d %H:%M}" if hasattr(value, "year") else str(value)


@studies_app.command("list")
def list_studies(
    context: typer.Context,
    match: Annotated[
        str | None, typer.Option(help="linked, created, chosen, held, conflict, ambiguous ...")
    ] = None,
    limit: LimitOption = 20,
) -> None:
    """Show the newest studies, without their patients.

    Example: sangam dicom studies list --match conflict
    """
    asked = {"match": match, "before": None, "limit": limit}
    _print(_COLUMNS, _run(context, lambda _, c: views.rows(c, views.STUDIES, **asked)))


@studies_app.command("show")
def show_study(context: typer.Context, study: StudyUid, by: By = "") -> None:
    """Show all of a study as JSON: what it says, series, candidates, what was done.

    That somebody looked is recorded as an AuditEvent.
    """
    found = _run(context, lambda server, c: desk.study(server, c, study, _actor(by)))
    Console(markup=False).print_json(json.dumps(found, default=str))


@studies_app.command("correct")
def correct_study(
    context: typer.Context,
    study: StudyUid,
    values: Annotated[
        list[str], typer.Argument(metavar="KEYWORD=VALUE...", help="An empty value: none.")
    ],
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    by: By = "",
) -> None:
    """Correct attributes of a study; what is stored stays as it came.

    Example: sangam dicom studies correct 1.2.3 AccessionNumber=A17 "StudyDescription=CT knee"
    """
    wanted = _pairs(values)
    done = _run(
        context,
        lambda server, c: corrections.correct(server, c, study, wanted, _actor(by), reason=reason),
    )
    typer.echo(f"Corrected; to take it back: sangam dicom studies undo {done}")


@studies_app.command("reject")
def reject_study(
    context: typer.Context,
    study: StudyUid,
    *,
    code: Annotated[
        str, typer.Option(help="; ".join(f"{one} {text}" for one, text in TITLES.items()))
    ] = QUALITY,
    series: SeriesOption = None,
    instance: InstanceOption = None,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    by: By = "",
) -> None:
    """Hide a study, a series or an instance.

    Example: sangam dicom studies reject 1.2.3 --series 1.2.3.1 --code 113001
    """
    target = Target(study, series, instance)
    count = _run(
        context, lambda server, c: desk.reject(server, c, target, code, _actor(by), reason)
    )
    typer.echo(f"{count} instances rejected")


@studies_app.command("restore")
def restore_study(
    context: typer.Context,
    study: StudyUid,
    series: SeriesOption = None,
    instance: InstanceOption = None,
    by: By = "",
) -> None:
    """Show again what was rejected."""
    target = Target(study, series, instance)
    count = _run(context, lambda server, c: desk.restore(server, c, target, _actor(by)))
    typer.echo(f"{count} instances restored")


@studies_app.command("approve")
def approve_study(
    context: typer.Context,
    study: StudyUid,
    series: SeriesOption = None,
    instance: InstanceOption = None,
    by: By = "",
) -> None:
    """Allow that what somebody else rejected is removed for good when its time has come."""
    target = Target(study, series, instance)
    count = _run(context, lambda server, c: desk.approve(server, c, target, _actor(by)))
    typer.echo(f"{count} instances will be removed")


@studies_app.command("rejected")
def list_rejected(context: typer.Context, limit: LimitOption = 50) -> None:
    """Show what is rejected, by study, reason and person."""
    columns = ("study", "code", "instances", "present", "rejected_by", "rejected_at", "approved_by")
    _print(
        columns,
        _run(context, lambda _, c: views.rows(c, views.REJECTED, study=None, limit=limit)),
    )


@studies_app.command("history")
def list_actions(
    context: typer.Context,
    study: Annotated[
        str | None, typer.Argument(metavar="[STUDY]", help="Only of this Study Instance UID.")
    ] = None,
    limit: LimitOption = 50,
) -> None:
    """Show what operators did, the newest first."""
    columns = ("id", "study", "action", "actor", "at", "undone_by")
    _print(columns, _run(context, lambda _, c: desk.actions(c, study, limit)))


@studies_app.command("undo")
def undo_action(
    context: typer.Context,
    action: Annotated[int, typer.Argument(metavar="ACTION", help="Its number in the history.")],
    by: By = "",
) -> None:
    """Take back a link, correction, split or rejection."""
    study = _run(context, lambda server, c: corrections.undo(server, c, action, _actor(by)))
    typer.echo(f"Undone for study {study}")


@unmatched_app.command("list")
def list_unmatched(context: typer.Context, limit: LimitOption = 50) -> None:
    """Show the studies whose patient is not known, those that wait longest first.

    Example: sangam dicom unmatched list
    """
    _print(
        (*_COLUMNS, "unmatched_at"),
        _run(context, lambda _, c: views.rows(c, views.UNMATCHED, limit=limit)),
    )


@unmatched_app.command("show")
def show_unmatched(context: typer.Context, study: StudyUid, by: By = "") -> None:
    """Show what a study says of its patient, the Patients that agree, and orders."""
    found: Mapping[str, Any] = _run(
        context, lambda server, c: desk.study(server, c, study, _actor(by))
    )
    for name, value in found["says"].items():
        typer.echo(f"{name}: {value}")
    _print(("patient", "score", "agrees", "name", "birth_date"), found["candidates"])
    _print(("order", "patient", "status", "code"), found["orders"])


@unmatched_app.command("link")
def link_study(
    context: typer.Context,
    study: StudyUid,
    patient: Annotated[str, typer.Argument(metavar="PATIENT", help="Patient/ID, or its id.")],
    by: By = "",
) -> None:
    """Give a study to a Patient.

    Example: sangam dicom unmatched link 1.2.3 Patient/7
    """
    literal = patient if "/" in patient else f"Patient/{patient}"
    done = _run(context, lambda server, c: corrections.link(server, c, study, literal, _actor(by)))
    typer.echo(f"Linked; to take it back: sangam dicom studies undo {done}")


@unmatched_app.command("create")
def create_patient(context: typer.Context, study: StudyUid, by: By = "") -> None:
    """Make a Patient of what a study says, and give the study to it."""
    done = _run(context, lambda server, c: corrections.create(server, c, study, _actor(by)))
    typer.echo(f"Created and linked; to take the link back: sangam dicom studies undo {done}")


@unmatched_app.command("split")
def split_study(
    context: typer.Context,
    study: StudyUid,
    series: Annotated[list[str], typer.Argument(metavar="SERIES...", help="Series UIDs.")],
    by: By = "",
) -> None:
    """Make a study of its own of some series; what comes later of them goes there too."""
    done, into = _run(
        context, lambda server, c: corrections.split(server, c, study, series, _actor(by))
    )
    typer.echo(f"Study {into}; to take it back: sangam dicom studies undo {done}")


@conflicts_app.command("list")
def list_conflicts(
    context: typer.Context,
    study: Annotated[str | None, typer.Option(help="Only of this study.")] = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that were decided on.")
    ] = False,
    limit: LimitOption = 50,
) -> None:
    """Show other contents that came under a known SOP Instance UID."""
    columns = (
        *("id", "sop_instance_uid", "kind", "state", "study_instance_uid", "stored_study"),
        *("calling_ae", "received_at"),
    )
    found = _run(
        context,
        lambda _, c: conflicts.conflicts(c, study=study, everything=everything, limit=limit),
    )
    _print(columns, found)


@conflicts_app.command("keep")
def keep_first(context: typer.Context, conflict: ConflictId, by: By = "") -> None:
    """Decide for what is stored."""
    _run(context, lambda _, c: conflicts.keep(c, conflict, _actor(by)))
    typer.echo("The stored content stays")


@conflicts_app.command("accept")
def accept_other(context: typer.Context, conflict: ConflictId, by: By = "") -> None:
    """Decide for the other content."""
    previous = _run(context, lambda _, c: conflicts.accept(c, conflict, _actor(by)))
    typer.echo(f"Taken; to take it back: sangam dicom conflicts accept {previous}")


def _pairs(values: list[str]) -> dict[str, str]:
    wanted = {}
    for one in values:
        name, equals, value = one.partition("=")
        if not equals:
            raise typer.BadParameter("Write KEYWORD=VALUE", param_hint="KEYWORD=VALUE")
        wanted[name] = value
    return wanted
