"""`sangam hl7 explain`: where each leaf of a message goes, by which rule, or why nowhere."""

import asyncio
import getpass
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from adapters.hl7.explain import words
from adapters.hl7.explain.explanation import Explanation, explain
from adapters.hl7.explain.views import plain
from adapters.hl7.mapping.context import Refusal
from adapters.hl7.operators import audit
from adapters.hl7.operators.explained import ONLY, show, states, statistics
from adapters.hl7.operators.reading import messages, of_bytes, of_inbox, served, stored
from adapters.hl7.profiles.read import Loaded, Unusable, read
from fhir_server.config import Settings
from fhir_server.r4.json import encode
from fhir_server.server import Server

_VIEW: Final = "explain"


def _only(said: list[str] | None) -> list[str]:
    for one in said or ():
        if one not in ONLY:
            raise typer.BadParameter(f"There is no {one}; there are {', '.join(ONLY)}")
    return said or []


def explain_messages(
    context: typer.Context,
    files: Annotated[
        list[Path] | None, typer.Argument(exists=True, dir_okay=False, metavar="[FILE]...")
    ] = None,
    *,
    id_: Annotated[
        list[int] | None, typer.Option("--id", help="A message of the inbox; may be repeated.")
    ] = None,
    profile: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Profile to map files by; without: the one of hl7.profiles_dir that fits.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(callback=_only, help="Only leaves that are mapped, unmapped, or of a reason."),
    ] = None,
    values: Annotated[
        bool, typer.Option("--values", help="With --id: show what the message says of patients.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, resources included.")
    ] = False,
    stats: Annotated[
        bool, typer.Option("--stats", help="Print sums by field over all messages.")
    ] = False,
) -> None:
    """Explain messages line by line: position, value, FHIR path, rule. Nothing is stored.

    Takes HL7 v2 and ASTM files. A resource such as Observation[2] is the second of its type;
    positions in lists count from 0. A rule is a map of the v2-to-FHIR guide, OBX[Observation],
    or a decision of ours, D18, which is spelled out below the table. With --id the message
    comes from the inbox, and reading it is recorded as an AuditEvent.

    Examples: sangam hl7 explain docs/examples/chemistry.hl7 /
    sangam hl7 explain monday.hl7 --only unmapped --stats /
    sangam hl7 explain --id 42
    """
    if bool(files) == bool(id_):
        raise typer.BadParameter("Name files, or messages of the inbox with --id")
    found: list[Explanation]
    if files:
        found, values = _of_files(files, _settings(context), _loaded(profile)), True
    else:
        found = asyncio.run(_of_inbox(context, id_ or ()))
    console = Console(markup=False)
    if as_json:
        said = [plain(one, values=values, resources=True) for one in found]
        typer.echo(encode(said).decode())
    elif stats:
        statistics(console, found)
    else:
        for number, one in enumerate(found):
            if number:
                console.rule()
            show(console, one, values=values, only=states(only or ()))
    if any(one.refusal for one in found):
        raise typer.Exit(1)


def _settings(context: typer.Context) -> Settings:
    found = getattr(context.obj, "settings", None)
    return found() if callable(found) else Settings()


def _loaded(profile: Path | None) -> Loaded | None:
    if profile is None:
        return None
    try:
        return read(profile.name, profile.read_bytes())
    except Unusable as unusable:
        texts = "\n".join(str(one) for one in unusable.problems)
        raise typer.BadParameter(texts, param_hint="--profile") from None


def _of_files(
    files: Sequence[Path], settings: Settings, loaded: Loaded | None
) -> list[Explanation]:
    profiles = served(settings)
    found = []
    for file in files:
        some = messages(file.read_bytes())
        if not some:
            raise typer.BadParameter(f"{file} has no message: none begins with MSH or H")
        for raw in some:
            try:
                found.append(explain(*of_bytes(raw, settings, profiles, loaded)))
            except Refusal as refusal:
                _refused(file.name, refusal)
    return found


def _refused(name: str, refusal: Refusal) -> None:
    Console(stderr=True, markup=False).print(
        Text(f"{name}: {refusal.reason}. {refusal.text}. {words.WHAT_TO_DO[refusal.reason]}")
    )
    raise typer.Exit(1)


async def _of_inbox(context: typer.Context, ids: Sequence[int]) -> list[Explanation]:
    async with context.obj.server() as server:
        return [await _one(server, id_) for id_ in ids]


async def _one(server: Server, id_: int) -> Explanation:
    one = await stored(server, id_)
    await audit.read(server, id_, getpass.getuser(), _VIEW)
    try:
        return explain(*await of_inbox(server, one))
    except Refusal as refusal:
        _refused(f"message {id_}", refusal)
        raise
