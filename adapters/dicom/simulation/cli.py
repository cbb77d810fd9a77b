"""`sangam dicom simulate`: synthetic studies, played modalities, peers that misbehave."""

import random
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from adapters.dicom.dataset.filemeta import file_meta
from adapters.dicom.query.cli import opener, peer_named, reaching
from adapters.dicom.simulation.bad_peer import MODES, Target, misbehave
from adapters.dicom.simulation.computed_tomography import Study, write
from adapters.dicom.simulation.exam import MODALITIES, Exam, unscheduled
from adapters.dicom.simulation.modality import PARTS, Script, play
from adapters.dicom.simulation.objects import instances
from fhir_server.errors import BadRequest

_FILES: Final = "Files"
_PLAYED: Final = "A played modality"
_CALLING: Final = "SIMULATOR"


def simulate(  # noqa: PLR0913  (what can be simulated)
    context: typer.Context,
    directory: Annotated[
        Path | None, typer.Argument(help="Where files are written, instead of playing.")
    ] = None,
    *,
    modality: Annotated[str, typer.Option(help=f"{', '.join(MODALITIES)} (a dose report).")] = "CT",
    slices: Annotated[int, typer.Option(min=1, help="Instances of the study.")] = 20,
    size: Annotated[int, typer.Option(min=1, max=4096, help="Rows and columns.")] = 512,
    seed: Annotated[
        int | None, typer.Option(help="Equal seeds give equal studies.", show_default="1, or new")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="PEER",
            help="Play an examination with this AE title, or `AE@host:port`.",
            rich_help_panel=_PLAYED,
        ),
    ] = None,
    calling: Annotated[
        str, typer.Option(help="AE title of the modality.", rich_help_panel=_PLAYED)
    ] = _CALLING,
    skip: Annotated[
        list[str] | None,
        typer.Option(help=f"Leave out: {', '.join(PARTS)}.", rich_help_panel=_PLAYED),
    ] = None,
    accession: Annotated[
        str,
        typer.Option(
            help="The worklist entry to take.", show_default="the first", rich_help_panel=_PLAYED
        ),
    ] = "",
    associations: Annotated[
        int, typer.Option(min=1, max=64, help="Store over so many.", rich_help_panel=_PLAYED)
    ] = 1,
    listen: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port for reports of commitments, which the peer knows us by.",
            show_default="the association that asks",
            rich_help_panel=_PLAYED,
        ),
    ] = None,
    misbehaving: Annotated[
        str | None,
        typer.Option(
            "--misbehave", help=f"Break the protocol: {', '.join(MODES)}.", rich_help_panel=_PLAYED
        ),
    ] = None,
) -> None:
    """Write a synthetic study as files, or play a modality from worklist to retrieval.

    Files:    sangam dicom simulate /tmp/ct --slices 20

    Modality: sangam dicom simulate --to SANGAM@127.0.0.1:11112 --modality MR

    Bad peer: sangam dicom simulate --to SANGAM@127.0.0.1:11112 --misbehave huge-pdu
    """
    kind = modality.upper()
    if kind not in MODALITIES:
        raise BadRequest(f"There is no modality {modality}; {', '.join(MODALITIES)}")
    if (directory is None) is (to is None):
        raise BadRequest("Name a directory for files, or a peer with --to")
    chosen = _seed(seed, files=directory is not None)
    now = datetime.now().astimezone()
    exam = Exam(chosen, kind, slices, size, now, station=calling)
    if directory is not None:
        typer.echo(f"{len(_written(directory, exam))} files in {directory}")
    elif misbehaving:
        _misbehaves(context, str(to), misbehaving, exam)
    else:
        parts = _parts(skip or ())
        script = Script(calling, parts, associations, listen, accession)
        _plays(context, str(to), exam, script)


def _plays(context: typer.Context, name: str, exam: Exam, script: Script) -> None:
    peer = peer_named(context, name)
    call = opener(context, peer, script.ae_title)
    with reaching(context, name):
        course = play(exam, script, call, typer.echo)
    if course.failures:
        raise typer.Exit(1)


def _misbehaves(context: typer.Context, name: str, mode: str, exam: Exam) -> None:
    if mode not in MODES:
        raise BadRequest(f"There is no such way to misbehave; {', '.join(MODES)}")
    peer = peer_named(context, name)
    target = Target((peer.host, peer.port), peer.ae_title, exam.station, seconds=120)
    [instance] = instances(unscheduled(Exam(exam.seed, exam.modality, 1, exam.size, exam.begun)))
    with reaching(context, name):
        reaction, seconds = misbehave(mode, target, instance)
    typer.echo(f"{mode}: {reaction.what} ({reaction.reason:X}) after {seconds:.1f} s")


def _seed(given: int | None, *, files: bool) -> int:
    """Return the seed: that of files is 1, and an examination is a new one each time."""
    if given is not None:
        return given
    return 1 if files else random.randrange(1, 100_000_000)  # noqa: S311  (no secret)


def _parts(skipped: list[str] | tuple[()]) -> frozenset[str]:
    if unknown := set(skipped) - set(PARTS):
        raise BadRequest(f"There is nothing called {', '.join(sorted(unknown))} to skip")
    return frozenset(PARTS) - set(skipped)


def _written(directory: Path, exam: Exam) -> list[Path]:
    """Write the files of a study, and return their paths."""
    if exam.modality == "CT":
        return write(directory, Study(seed=exam.seed, slices=exam.count, size=exam.size))
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, one in enumerate(instances(unscheduled(exam)), 1):
        path = directory / f"{exam.modality.lower()}{exam.seed:06d}-{number:05d}.dcm"
        meta = file_meta(one.sop_class_uid, one.sop_instance_uid, one.transfer_syntax_uid)
        path.write_bytes(meta + one.data_set)
        paths.append(path)
    return paths
