"""`sangam hl7 profiles`: what is agreed with each sender, and what is wrong with a file."""

import asyncio
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from adapters.hl7.profiles.read import Unusable, read

app = typer.Typer(
    help="The profiles of senders: TOML files in the directory `hl7.profiles_dir`.",
    no_args_is_help=True,
)

_LIST: Final = """
SELECT s.name, coalesce(p.sender, ''), coalesce(p.version, ''), coalesce(s.fingerprint, ''),
    s.changed_at, s.problems
FROM hl7_profile_state AS s LEFT JOIN hl7_profile AS p USING (name, fingerprint) ORDER BY s.name
"""
_SHOW: Final = """
SELECT content FROM hl7_profile AS p
WHERE name = %(name)s AND CASE WHEN %(fingerprint)s::text IS NULL
    THEN fingerprint = (SELECT fingerprint FROM hl7_profile_state WHERE name = %(name)s)
    ELSE fingerprint = %(fingerprint)s END
"""


@app.command("list")
def list_profiles(context: typer.Context) -> None:
    """Show the profiles as the running server has them, and what is wrong with their files.

    Example: sangam hl7 profiles list
    """
    table = Table("profile", "sender", "version", "fingerprint", "since", "state")
    problems: list[str] = []
    for name, sender, version, fingerprint, at, wrong in _rows(context, _LIST, {}):
        since = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(name, sender, version, fingerprint, since, _state(fingerprint, wrong))
        problems += wrong
    console = Console(markup=False)
    console.print(table)
    for problem in problems:
        console.print(problem, markup=False)
    if problems:
        raise typer.Exit(1)


def _state(fingerprint: str, wrong: Sequence[str]) -> str:
    if not wrong:
        return "serves"
    return "broken: the version before serves" if fingerprint else "broken: it does not serve"


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, metavar="FILE...")],
) -> None:
    """Say what is wrong with files of profiles before they are put in place.

    Example: sangam hl7 profiles check docs/examples/profiles/city-lab.toml
    """
    console, bad = Console(markup=False), False
    for file in files:
        try:
            found = read(file.name, file.read_bytes())
        except Unusable as unusable:
            bad = True
            for problem in unusable.problems:
                console.print(str(problem), markup=False, soft_wrap=True)
        else:
            said = f"{file.name}: version {found.profile.version} of {found.sender} can be used"
            console.print(f"{said} ({found.fingerprint})", markup=False, soft_wrap=True)
    if bad:
        raise typer.Exit(1)


@app.command()
def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the file, without its ending.")],
    fingerprint: Annotated[
        str | None, typer.Option(help="A version that served; without: the one that serves now.")
    ] = None,
) -> None:
    """Print a profile as it serves, or as it did when a message named its fingerprint.

    Example: sangam hl7 profiles show lis --fingerprint 0f3c0d9a51b2
    """
    rows = _rows(context, _SHOW, {"name": name, "fingerprint": fingerprint})
    if not rows:
        raise typer.BadParameter("There is no such profile", param_hint="NAME")
    typer.echo(rows[0][0], nl=False)


def _rows(context: typer.Context, query: str, values: dict[str, Any]) -> list[Any]:
    async def working() -> list[Any]:
        async with context.obj() as database, database.connection() as connection:
            rows: list[Any] = await (await connection.execute(query, values)).fetchall()
            return rows

    return asyncio.run(working())
