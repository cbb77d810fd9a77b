"""`sangam dicom export` and `sangam dicom projects`."""

import getpass
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from adapters.dicom.deidentification import export as exports
from adapters.dicom.deidentification.copies import Review
from adapters.dicom.deidentification.export import Tally
from adapters.dicom.deidentification.pixels import Rectangle
from adapters.dicom.deidentification.profile import CHOICES, MEANINGS
from adapters.dicom.listing import print_table
from adapters.dicom.storage.cli import Connection, in_archive, in_database
from adapters.dicom.studies import transferred
from fhir_server import jobs
from fhir_server.at_rest.keys import Keys
from fhir_server.at_rest.leaving import leaving
from fhir_server.blobs import Blobs
from fhir_server.errors import BadRequest

app = typer.Typer(help="Projects that get de-identified copies.", no_args_is_help=True)

_RECTANGLE = re.compile(r"(\d{1,6}),(\d{1,6}),(\d{1,6}),(\d{1,6})", re.ASCII)
_OPTIONS = "; ".join(f"{code} {MEANINGS[code]}" for code in sorted(CHOICES))


@app.command("add")
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the project.")],
    option: Annotated[
        list[str] | None, typer.Option(help=f"Option of the profile: {_OPTIONS}.")
    ] = None,
) -> None:
    """Make a project: a key of its own, and what its copies keep.

    Example: sangam dicom projects add LUNG-2026 --option 113108
    """
    made = in_archive(
        context,
        lambda connection, blobs: exports.add_project(connection, _keys(blobs), name, option or ()),
    )
    kept = ", ".join(MEANINGS[one] for one in sorted(made.options))
    typer.echo(f"{made.name}: {kept or 'the Basic Profile, dates shifted'}")


@app.command("list")
def list_projects(context: typer.Context) -> None:
    """Show the projects and their options."""
    table = Table("project", "options")
    for name, options in in_database(context, exports.projects):
        table.add_row(name, " ".join(options))
    print_table(table)


def export(  # noqa: PLR0913  (one parameter a flag)
    context: typer.Context,
    studies: Annotated[list[str], typer.Argument(metavar="STUDY...", help="Study Instance UIDs.")],
    *,
    out: Annotated[Path, typer.Option(help="Directory that the files are written to.")],
    deidentify: Annotated[
        bool, typer.Option("--deidentify", help="Write copies without the patient's identity.")
    ] = False,
    project: Annotated[
        str | None, typer.Option(help="Project that they are for; with --deidentify.")
    ] = None,
    pixels_reviewed: Annotated[
        bool, typer.Option("--pixels-reviewed", help="A person saw that no pixel tells a name.")
    ] = False,
    blacken: Annotated[
        list[str] | None,
        typer.Option(help="`X,Y,WIDTH,HEIGHT` of each frame is set to zero, before it leaves."),
    ] = None,
    recipient: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Seal for who has made this public key."),
    ] = None,
    passphrase_file: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Seal for the passphrase in its first line."
        ),
    ] = None,
) -> None:
    """Write studies to a directory, as they are stored or without the patient's identity.

    **PLAIN**, for everybody who gets at the files, unless they are sealed: by `--recipient` (they
    run `sangam tenant pair`) or `--passphrase-file`. `sangam tenant unseal` opens them. Ends with 1
    where an instance was held back.

    Example: sangam dicom export 1.2.3 --out /tmp/out --deidentify --project LUNG-2026
    """
    # What it says of a data set quotes its values.
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    if deidentify != (project is not None):
        raise BadRequest("--deidentify needs the --project that the copies are for")
    review = Review(pixels_reviewed, tuple(_rectangle(one) for one in blacken or ()))
    tally = Tally()

    def act(connection: Connection, blobs: Blobs) -> None:
        found = exports.sources(connection, studies)
        who = f"{getpass.getuser()} at the command line"
        actor = f"{who} for {project}" if project else who
        jobs.enqueue_sync(connection, [transferred.job(studies, actor, "export")])
        with leaving(out, recipient, passphrase_file) as to:
            if project is None:
                _shown(exports.export(blobs, found, to), len(found))
                tally.written = len(found)
                return
            of = exports.project(connection, _keys(blobs), project)
            steps = exports.export_deidentified(blobs, found, to, of, review, tally)
            _shown(steps, len(found))

    in_archive(context, act)
    if not (recipient or passphrase_file):
        typer.echo("These files are not sealed: who gets at them can read them.", err=True)
    _tell(tally, out)


def _keys(blobs: Blobs) -> Keys:
    assert blobs.keys is not None, "the files of an installation are sealed"
    return blobs.keys


def _tell(tally: Tally, out: Path) -> None:
    typer.echo(f"{tally.written} instances in {out}")
    if tally.faces:
        typer.echo(f"{tally.faces} show a head: a face may be reconstructed from the slices")
    for reason, count in sorted(tally.blocked.items()):
        typer.echo(f"{count} held back: {reason}")
    if tally.blocked:
        raise typer.Exit(1)


def _shown(steps: Iterator[None], total: int) -> None:
    columns = (TextColumn("Writing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True, markup=False)) as progress:
        task = progress.add_task("write", total=total)
        for _ in steps:
            progress.advance(task)


def _rectangle(text: str) -> Rectangle:
    found = _RECTANGLE.fullmatch(text)
    if not found:
        raise BadRequest("A rectangle is X,Y,WIDTH,HEIGHT in pixels")
    return Rectangle(*map(int, found.groups()))
