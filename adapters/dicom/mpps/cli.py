"""`sangam dicom mpps`: what modalities perform, and how much of it has come."""

from collections.abc import Mapping
from typing import Annotated

import typer
from rich.table import Table

from adapters.dicom.dataset.attributes import text
from adapters.dicom.listing import print_table
from adapters.dicom.mpps import completeness, rows
from adapters.dicom.mpps.completeness import Completeness
from adapters.dicom.mpps.rows import Performed, Sync
from adapters.dicom.storage.cli import in_database
from fhir_server.errors import NotFound

app = typer.Typer(help="What modalities perform (MPPS).", no_args_is_help=True)

_Steps = list[Performed]


@app.command("list")
def list_steps(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
) -> None:
    """Show the newest performed procedure steps, and how many of their instances are here.

    Example: sangam dicom mpps list
    """
    steps, known = in_database(context, lambda connection: _listed(connection, limit))
    print_table(_table(steps, known))


@app.command()
def show(
    context: typer.Context,
    uid: Annotated[str, typer.Argument(help="SOP Instance UID of the step.")],
) -> None:
    """Show one step: what it said, which instances are missing, which it did not name."""
    step, known = in_database(context, lambda connection: _one(connection, uid))
    for name, value in _facts(step):
        typer.echo(f"{name}: {value}")
    typer.echo(f"instances: {known.stored} of {known.expected} stored")
    for word, some in (("missing", known.missing), ("not named", known.unlisted)):
        for series, instance in some:
            typer.echo(f"{word}: {instance} of series {series or '-'}")


def _listed(connection: Sync, limit: int) -> tuple[_Steps, Mapping[str, Completeness]]:
    steps = rows.listed(connection, limit)
    return steps, completeness.of_steps(connection, steps)


def _one(connection: Sync, uid: str) -> tuple[Performed, Completeness]:
    step = rows.one(connection, uid)
    if step is None:
        raise NotFound(f"There is no performed procedure step {uid}")
    return step, completeness.of_steps(connection, [step])[uid]


def _table(steps: _Steps, known: Mapping[str, Completeness]) -> Table:
    table = Table("step", "station", "modality", "state", "begun", "stored", "in FHIR", "flags")
    for step in steps:
        of_it = known[step.sop_instance_uid]
        table.add_row(
            step.sop_instance_uid,
            text(step.attributes, "PerformedStationAETitle") or step.calling_ae,
            text(step.attributes, "Modality"),
            step.state,
            f"{step.created_at:%Y-%m-%d %H:%M}",
            f"{of_it.stored} of {of_it.expected}",
            "yes" if step.applied == step.version else "not yet",
            " ".join(step.flags),
        )
    return table


def _facts(step: Performed) -> list[tuple[str, str]]:
    said = (
        ("station", "PerformedStationAETitle"),
        ("modality", "Modality"),
        ("fluoroscopy, seconds", "TotalTimeOfFluoroscopy"),
        ("area dose product, dGy.cm2", "ImageAndFluoroscopyAreaDoseProduct"),
    )
    return [
        ("state", step.state),
        ("studies", " ".join(step.studies) or "-"),
        *((name, value) for name, key in said if (value := text(step.attributes, key))),
        ("messages", f"{step.version}, of which FHIR shows {step.applied}"),
        ("Procedure", step.procedure or "-"),
        ("flags", " ".join(step.flags) or "-"),
    ]
