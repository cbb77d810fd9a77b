"""`sangam terminology`: code systems loaded from the files in which they are published."""

import asyncio
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import msgspec
import psycopg
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from fhir_server.config import Settings
from fhir_server.main import migrate as migrations
from fhir_server.main.databases import base_of, database_of, running_server
from fhir_server.main.options import DatabaseUrl, DataDir, fail, given
from fhir_server.main.piece import Done, store
from fhir_server.main.sources import Document
from fhir_server.main.wiring import running
from terminology.loaders import write
from terminology.loaders.recognise import releases
from terminology.loaders.release import Options, Release, Resources
from terminology.loaders.report import LoadRefused, Report, Step

SHOWN = 20
PIECE = 50

app = typer.Typer(
    help="SNOMED CT, LOINC, ICD-10, RxNorm and other terminologies: load, list, remove.",
    no_args_is_help=True,
)
console = Console(markup=False)

Json = dict[str, Any]

_LIST = """
SELECT url, version, content, concepts, loaded_at,
       coalesce((source -> 'rows' ->> 'closure')::bigint, 0), source -> 'problems'
FROM tx.code_system WHERE state = 'current' ORDER BY url, version
"""


@app.command()
def load(  # noqa: PLR0913  (one parameter a flag)
    paths: Annotated[
        list[Path],
        typer.Argument(exists=True, metavar="PATH...", help="Folders, zip archives or files."),
    ],
    *,
    version: Annotated[
        str | None,
        typer.Option(help="The release, where its files do not tell it (LOINC, RxNorm, CDCI)."),
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="The code system's url, where it is not known (ClaML, CDCI).")
    ] = None,
    language_refset: Annotated[
        str | None,
        typer.Option(
            help="SNOMED CT: language refset of the displays.", show_default="US or GB English"
        ),
    ] = None,
    accept_license: Annotated[
        bool,
        typer.Option("--accept-license", help="I may use this content: I have its licence."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read everything, say what is wrong, write nothing.")
    ] = False,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Load without the rows that cannot be read.")
    ] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Load a release of a terminology, as its publisher hands it out.

    What it is (SNOMED CT RF2, LOINC, ICD-10 in ClaML, ICD-10-CM, RxNorm, CDCI, CLCI, a FHIR
    package) is told by its content, not by file names. The release is written beside what
    serves and switched on at the end: a load that fails or is killed changes nothing. The same
    release once more changes nothing either. docs/terminology-loading.md says more.

    Example: `sangam terminology load SnomedCT_International.zip --accept-license`
    """
    settings = given(data_dir=data_dir, database_url=database_url)
    found: list[Release | Resources] = []
    with _progress() as told:
        options = Options(version, url, language_refset, told)
        try:
            found = releases(paths, options)
            for one in found:
                if one.licence and not (accept_license or dry_run):
                    fail(f"{one.licence}. If you may use it, say --accept-license.")
            if dry_run:
                done = [_tried(one, told) for one in found]
            else:
                wish = {"accepted": accept_license, "skip_bad_rows": skip_bad_rows}
                with database_of(settings) as conninfo:
                    migrations.migrate(conninfo)
                    done = [_loaded(settings, conninfo, one, wish, told) for one in found]
        except (LoadRefused, OSError, psycopg.OperationalError) as refused:
            for one in found:
                _show(one.report)
            fail(f"Not loaded: {refused}")
    for text, report in done:
        console.print(text)
        _show(report)
    if any(report.counts["refused"] for _, report in done):
        raise typer.Exit(1)


def _tried(one: Release | Resources, told: "_Told") -> tuple[str, Report]:
    if isinstance(one, Release):
        loaded = asyncio.run(write.try_release(one, progress=told))
        return f"{loaded.canonical}: {loaded.concepts:,} concepts can be loaded", loaded.report
    count = sum(1 for _ in one.resources)
    return f"{one.name}: {count:,} resources can be loaded", one.report


def _loaded(
    settings: Settings,
    conninfo: str,
    one: Release | Resources,
    wish: dict[str, bool],
    told: "_Told",
) -> tuple[str, Report]:
    if isinstance(one, Release):
        loaded = asyncio.run(write.load_release(conninfo, one, progress=told, **wish))
        if loaded.id is None:
            return f"{loaded.canonical} serves already, from the same files", loaded.report
        return f"{loaded.canonical}: {loaded.concepts:,} concepts serve now", loaded.report
    if (bad := one.report.bad_rows) and not wish["skip_bad_rows"]:
        raise LoadRefused(f"rows cannot be read, the first at {bad[0]}")
    done = asyncio.run(_store(settings, conninfo, one, told))
    for name, place, reason in done.refused:
        one.report.add("refused", name, 0, f"{place}: {reason}" if place else reason)
    for _, (name, place, reason) in done.dangling:
        one.report.add("refused", name, 0, f"{place}: {reason}" if place else reason)
    return f"{one.name}: {done.stored.total():,} resources are stored", one.report


async def _store(settings: Settings, conninfo: str, one: Resources, told: "_Told") -> Done:
    """Store resources as a client would, each under its own id."""
    whole = Done()
    async with running(settings, conninfo, base_of(settings)) as handle:
        for piece in _pieces(one.resources):
            done = await store(handle, [_document(resource) for resource in piece])
            whole.stored.update(done.stored)
            whole.refused += done.refused
            whole.dangling += done.dangling
            count = whole.stored.total()
            told(Step("storing resources", count, 0, count))
    return whole


def _pieces(resources: Iterable[Json]) -> Iterator[list[Json]]:
    left = iter(resources)
    while piece := list(islice(left, PIECE)):
        yield piece


def _document(resource: Json) -> Document:
    """The resource under its id; without one, under an id that its url always gives."""
    canonical = f"{resource['url']}|{resource.get('version', '')}"
    if "id" not in resource:
        resource = {**resource, "id": hashlib.sha256(canonical.encode()).hexdigest()[:40]}
    return Document(canonical, msgspec.json.encode(resource))


@app.command("list")
def list_releases(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Show the releases that serve: url and version as `remove` takes them.

    Example: `sangam terminology list`
    """
    settings = given(data_dir=data_dir, database_url=database_url)
    with database_of(settings) as conninfo:
        migrations.migrate(conninfo)
        with psycopg.connect(conninfo) as connection:
            for url, version, content, concepts, at, pairs, problems in connection.execute(_LIST):
                told = [f"{concepts:,} concepts", f"{pairs:,} pairs of ancestors", content]
                told += [f"{count:,} {kind}" for kind, count in (problems or {}).items()]
                # Neither is cut to the width of a terminal: `remove` takes them as they are.
                console.out(url, version, highlight=False)
                console.out(f"    {', '.join(told)}, loaded {at:%Y-%m-%d %H:%M}", highlight=False)


@app.command()
def remove(
    url: Annotated[str, typer.Argument(metavar="URL", help="As `sangam terminology list` has it.")],
    version: Annotated[str, typer.Argument(metavar="VERSION")],
    *,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Take a release out of service and drop what was loaded of it.

    Example: `sangam terminology remove http://loinc.org 2.80`
    """
    settings = given(data_dir=data_dir, database_url=database_url)
    with database_of(settings) as conninfo:
        migrations.migrate(conninfo)
        grace = write.GRACE_SECONDS if running_server(settings.data_dir) else 0.0
        try:
            done = asyncio.run(write.remove_release(conninfo, url, version, grace=grace))
        except LoadRefused as refused:
            fail(str(refused))
    if not done:
        fail(f"{url}|{version} is not loaded; `sangam terminology list` shows what is.")
    console.print(f"{url}|{version} was removed.")


class _Told:
    """A bar for each stage."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def __call__(self, step: Step) -> None:
        """Show a step."""
        bar = self._bars.get(step.stage)
        if bar is None:
            bar = self._bars[step.stage] = self._progress.add_task(step.stage, rows="")
        rows = f"{step.rows:,} rows" if step.rows else ""
        total = step.total or None
        self._progress.update(bar, completed=step.done, total=total, rows=rows)


@contextmanager
def _progress() -> Iterator[_Told]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=not console.is_terminal) as progress:
        yield _Told(progress)


def _show(report: Report) -> None:
    # A dry run counts no rows of some tables: it need not write them to tell what is wrong.
    if report.rows.total():
        rows = Table("rows", "count")
        for name, count in sorted((+report.rows).items()):
            rows.add_row(name, f"{count:,}")
        console.print(rows)
    if not report.problems:
        return
    whole = ", ".join(f"{count:,} {kind}" for kind, count in report.counts.items())
    console.print(f"Not taken: {whole}")
    for one in report.problems[:SHOWN]:
        console.print(f"  {one.kind}: {one}", markup=False, highlight=False, soft_wrap=True)
    if len(report.problems) > SHOWN:
        console.print("  ...")
