"""`sangam dicom explain` and `sangam dicom documents`: what files and documents become."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from adapters.dicom.dataset.elements import Broken
from adapters.dicom.documents import rows
from adapters.dicom.documents.explain import Explanation, Line, explain
from adapters.dicom.listing import print_table
from adapters.dicom.storage.index import documents_job
from fhir_server import jobs
from fhir_server.config import Settings
from fhir_server.r4.json import encode

app = typer.Typer(help="Reports and documents: what became of them.", no_args_is_help=True)

_WIDE: Final = 110
_BASE: Final = "http://localhost:8080/fhir"
_ONLY: Final = ("mapped", "unmapped")
_NOWHERE: Final = "in the rendering only"
_LIST: Final = """
SELECT mapped_at, sop_instance_uid, state, title, items, jsonb_array_length(unmapped),
       array_to_string(flags, ', '), reason
FROM dicom_document
WHERE (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(study)s::text IS NULL OR study_instance_uid = %(study)s)
ORDER BY mapped_at DESC LIMIT %(limit)s
"""
_ONE: Final = """
SELECT state, reason, title, resources, items, unmapped, flags, study_instance_uid
FROM dicom_document WHERE sop_instance_uid = %s
"""
_AGAIN: Final = """
UPDATE dicom_document SET fingerprint = ''::bytea WHERE sop_instance_uid = %s
RETURNING study_instance_uid
"""


def _only(said: str | None) -> str | None:
    if said is not None and said not in _ONLY:
        raise typer.BadParameter(f"There is no {said}; there are {', '.join(_ONLY)}")
    return said


def explain_file(
    context: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(exists=True, dir_okay=False, metavar="FILE...", help="DICOM files."),
    ],
    *,
    only: Annotated[
        str | None, typer.Option(callback=_only, help="Only lines that are mapped, or unmapped.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, resources included.")
    ] = False,
) -> None:
    """Explain files part by part: position, name, value, FHIR path. Nothing is stored.

    Of structured reports each content item is a line, of other files each element of the
    resource. A resource such as Observation[2] is the second of its type; positions in lists
    count from 0.

    Example: sangam dicom explain report.dcm --only unmapped
    """
    found = [_explained(file, _settings(context)) for file in files]
    if as_json:
        typer.echo(encode([_plain(one) for one in found]).decode())
        return
    console = Console(markup=False)
    for number, one in enumerate(found):
        if number:
            console.rule()
        _show(console, one, only)


def _settings(context: typer.Context) -> Settings:
    found = getattr(context.obj, "settings", None)
    return found() if callable(found) else Settings()


def _explained(file: Path, settings: Settings) -> Explanation:
    try:
        return explain(file, settings, _BASE)
    except Broken as error:
        text = f"{file.name} cannot be read as DICOM. {error}."
        Console(stderr=True, markup=False).print(Text(text))
        raise typer.Exit(1) from None


def _show(console: Console, found: Explanation, only: str | None) -> None:
    console.print(Text(found.title, style="bold"), soft_wrap=True)
    total = len(found.lines)
    parts = "content items" if any(one.position for one in found.lines) else "elements"
    left = total - found.mapped
    more = f" · {left} {_NOWHERE}" if left else ""
    console.print(Text(f"{found.mapped} of {total} {parts} are in FHIR{more}", style="cyan"))
    console.print()
    lines = [line for line in found.lines if only is None or (only == "mapped") == bool(line.paths)]
    console.print(_items(lines, console.width) if parts == "content items" else _elements(lines))
    if found.resources and only is None:
        counts: dict[str, int] = {}
        for one in found.resources:
            counts[one["resourceType"]] = counts.get(one["resourceType"], 0) + 1
        listed = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        console.print()
        console.print(Text(f"Would be written: {listed}", style="bold"))
    for remark in found.remarks:
        console.print(Text(remark, style="yellow"))


def _items(lines: Sequence[Line], width: int) -> Table:
    narrow = 3 if width >= _WIDE else 2
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=18)
    table.add_column(ratio=narrow, no_wrap=True, overflow="ellipsis")
    table.add_column(ratio=narrow, no_wrap=True, overflow="ellipsis", style="bold")
    table.add_column(ratio=5, overflow="fold")
    for line in lines:
        value = Text(line.value.replace("\n", " "))
        table.add_row(f"  {line.position}", Text(line.name or line.kind), value, _where(line))
    return table


def _elements(lines: Sequence[Line]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(ratio=1, overflow="fold")
    table.add_column(ratio=1, overflow="fold", style="bold")
    for line in lines:
        table.add_row(_where(line), Text(line.value))
    return table


def _where(line: Line) -> Text:
    if not line.paths:
        return Text(_NOWHERE, style="yellow")
    return Text("\n").join(Text(path, style="green") for path in line.paths)


def _plain(found: Explanation) -> dict[str, Any]:
    return {
        "title": found.title,
        "lines": [
            {
                "position": one.position,
                "type": one.kind,
                "name": one.name,
                "value": one.value,
                "paths": list(one.paths),
            }
            for one in found.lines
        ],
        "resources": list(found.resources),
        "remarks": list(found.remarks),
    }


def _state(said: str | None) -> str | None:
    if said is not None and said not in rows.STATES:
        raise typer.BadParameter(f"There is no such state; there are {', '.join(rows.STATES)}")
    return said


@app.command("list")
def list_documents(
    context: typer.Context,
    state: Annotated[
        str | None, typer.Option(callback=_state, help=f"{', '.join(rows.STATES)}; all without.")
    ] = None,
    study: Annotated[str | None, typer.Option(help="Only of this Study Instance UID.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
) -> None:
    """Show what became of reports and encapsulated documents, without their content.

    Example: sangam dicom documents list --state failed
    """
    asked = {"state": state, "study": study, "limit": limit}
    table = Table("at", "instance", "state", "title", "items", "unmapped", "flags", "reason")
    for row in asyncio.run(_rows(context, _LIST, asked)):
        at, *rest = row
        table.add_row(f"{at:%Y-%m-%d %H:%M}", *(Text(str(one)) for one in rest))
    print_table(table)


@app.command()
def show(
    context: typer.Context,
    instance: Annotated[str, typer.Argument(help="SOP Instance UID of the document.")],
) -> None:
    """Show the resources of a document, and what only its rendering has; no values.

    Example: sangam dicom documents show 1.2.840.113619.2.55.3
    """
    found = asyncio.run(_rows(context, _ONE, (instance,)))
    if not found:
        raise typer.BadParameter("There is no such document")
    state, reason, title, resources, items, unmapped, flags, study = found[0]
    console = Console(markup=False)
    head = " · ".join(part for part in (state, reason, title, *flags) if part)
    console.print(Text(f"{head} (study {study})", style="bold"), soft_wrap=True)
    for reference in resources:
        console.print(Text(f"  {reference}", style="green"))
    console.print(Text(f"{len(unmapped)} of {items} content items are {_NOWHERE}", style="cyan"))
    for one in unmapped:
        place = f"  {one['position']}  {one['type']}  {one['name']} {one['meaning']}"
        console.print(Text(place), soft_wrap=True)


@app.command()
def again(
    context: typer.Context,
    instance: Annotated[str, typer.Argument(help="SOP Instance UID of the document.")],
) -> None:
    """Have a document mapped again, after what was in its way is mended.

    Example: sangam dicom documents again 1.2.840.113619.2.55.3
    """
    asyncio.run(_again(context, instance))
    typer.echo("It will be mapped again")


async def _again(context: typer.Context, instance: str) -> None:
    async with context.obj() as database, database.transaction() as connection:
        row = await (await connection.execute(_AGAIN, (instance,))).fetchone()
        if row is None:
            raise typer.BadParameter("There is no such document")
        await jobs.enqueue(connection, [documents_job(row[0])])


async def _rows(context: typer.Context, sql: str, given: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401
    async with context.obj() as database, database.connection() as connection:
        return list(await (await connection.execute(sql, given)).fetchall())
