"""`sangam hl7`: the operator's view of the inbox."""

import asyncio
import getpass
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from adapters.hl7.inbox import replay as inbox
from adapters.hl7.inbox.apply import begin
from adapters.hl7.inbox.preview import Preview
from adapters.hl7.inbox.preview import preview as previewed
from adapters.hl7.inbox.received import Received
from adapters.hl7.inbox.replay import Chosen
from adapters.hl7.inbox.unmerge import Unmerged
from adapters.hl7.inbox.unmerge import unmerge as taken_back
from adapters.hl7.message.reasons import REASONS
from adapters.hl7.operators import audit, refused
from adapters.hl7.operators.analyzers import simulate
from adapters.hl7.operators.channels import app as channels_app
from adapters.hl7.operators.codes import app as codes_app
from adapters.hl7.operators.explain import explain_messages
from adapters.hl7.operators.load import load
from adapters.hl7.operators.outbound import app as outbound_app
from adapters.hl7.operators.outbound import destinations
from adapters.hl7.operators.overview import sources, unmapped
from adapters.hl7.operators.profiles import app as profiles_app
from fhir_server.database import Connection, Database
from fhir_server.r4.json import encode
from fhir_server.server import Server

app = typer.Typer(
    help="The inbox of HL7 v2 messages: what came, what became of it, and trying again.",
    no_args_is_help=True,
)
app.add_typer(profiles_app, name="profiles")
app.add_typer(codes_app, name="codes")
app.add_typer(channels_app, name="channel")
app.add_typer(outbound_app, name="outbound")
app.command("destinations")(destinations)
app.command("explain")(explain_messages)
app.command("simulate")(simulate)
app.command("sources")(sources)
app.command("unmapped")(unmapped)

Opening = Callable[[], AbstractAsyncContextManager[Database]]
"""What the command line gives as the context's object: it opens the database."""

ServerOpening = Callable[[], AbstractAsyncContextManager[Server]]
"""What that object has as `server`: it opens the parts of a server over the database."""

_PREVIEWED: Final = 20

_T = TypeVar("_T")

_LIST: Final = """
SELECT id, received_at, sender, type, event, state, coalesce(reason, ''), coalesce(detail, '')
FROM hl7_message
WHERE (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (%(sender)s::text IS NULL OR sender = %(sender)s)
  AND (%(before)s::bigint IS NULL OR id < %(before)s)
ORDER BY id DESC LIMIT %(limit)s
"""


def _reason(said: str | None) -> str | None:
    """Return a reason of the inbox as it was typed; a typing error would find nothing."""
    if said is not None and said not in REASONS:
        raise typer.BadParameter(f"There is no such reason; there are {', '.join(sorted(REASONS))}")
    return said


_STATES: Final = ("stored", "done", "stale", "dead", "rejected", "dismissed")


def _state(said: str | None) -> str | None:
    """Return a state of the inbox as it was typed."""
    if said is not None and said not in _STATES:
        raise typer.BadParameter(f"There is no such state; there are {', '.join(_STATES)}")
    return said


_MERGES: Final = """
SELECT id, message_id, event, merged_at, survivor, retired, undone ->> 'by' FROM hl7_merge
ORDER BY id DESC LIMIT %(limit)s
"""
_COUNTS: Final = """
SELECT state, coalesce(reason, ''), count(*) FROM hl7_message
GROUP BY state, reason ORDER BY state, reason
"""


@app.command("list")
def list_messages(
    context: typer.Context,
    state: Annotated[
        str | None,
        typer.Option(callback=_state, help=f"{', '.join(_STATES)}; all without."),
    ] = None,
    reason: Annotated[
        str | None, typer.Option(callback=_reason, help="A reason such as NO_PATIENT_ID.")
    ] = None,
    sender: Annotated[str | None, typer.Option(help="Only of this sender.")] = None,
    before: Annotated[int | None, typer.Option(help="Only those with smaller ids.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
) -> None:
    """Show messages of the inbox, without their content.

    Example: sangam hl7 list --state dead
    """
    asked = {
        "state": state,
        "reason": reason,
        "sender": sender,
        "before": before,
        "limit": limit,
    }
    rows = _run(context, lambda connection: _rows(connection, _LIST, asked))
    table = Table("id", "received", "sender", "message", "state", "reason", "detail")
    for id_, received, whose, kind, event, now, why, detail in rows:
        at = received.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(str(id_), at, whose, f"{kind or ''}^{event or ''}", now, why, detail)
    Console(markup=False).print(table)


@app.command()
def status(context: typer.Context) -> None:
    """Count the messages of the inbox by state and reason."""
    table = Table("state", "reason", "messages")
    for state, reason, count in _run(context, lambda c: _rows(c, _COUNTS, {})):
        table.add_row(state, reason, str(count))
    Console(markup=False).print(table)


@app.command()
def show(
    context: typer.Context, id_: Annotated[int, typer.Argument(metavar="ID", help="The message.")]
) -> None:
    """Show what became of a message: versions written, leaves not mapped, warnings.

    The content of the message is patient data and is not shown.
    """
    columns = "state, reason, detail, attempts, result_versions, unmapped, warnings, replays"
    query = f"SELECT {columns} FROM hl7_message WHERE id = %(id)s"
    rows = _run(context, lambda connection: _rows(connection, query, {"id": id_}))
    if not rows:
        raise typer.BadParameter("There is no such message", param_hint="ID")
    found = dict(zip(columns.split(", "), rows[0], strict=True))
    Console(markup=False).print_json(json.dumps(found))


@app.command()
def replay(  # noqa: PLR0913  (one parameter a flag)
    context: typer.Context,
    ids: Annotated[
        list[int] | None, typer.Argument(metavar="[ID]...", help="Messages to try again.")
    ] = None,
    *,
    state: Annotated[str, typer.Option(help="Without IDs: all of this state.")] = "dead",
    reason: Annotated[
        str | None, typer.Option(callback=_reason, help="Without IDs: only of this reason.")
    ] = None,
    sender: Annotated[str | None, typer.Option(help="Without IDs: only of this sender.")] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Without IDs: only received from then on (UTC).")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(help="Without IDs: only received before (UTC).")
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Without IDs and reason: really all of the state.")
    ] = False,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Carry out a merge however much it moves.")
    ] = False,
    preview: Annotated[
        bool, typer.Option("--preview", help="Show what would change, and change nothing.")
    ] = False,
) -> None:
    """Process messages again from their stored bytes, with the present settings and maps.

    What they wrote before is updated, not doubled. A preview shows patient data.

    Example: sangam hl7 replay 42 --preview
    """
    narrowed = any(one is not None for one in (reason, sender, since, until))
    if not ids and not narrowed and not all_:
        raise typer.BadParameter("Name messages, a --reason, or --all")
    chosen = (
        Chosen(ids=ids)
        if ids
        else Chosen(state=state, reason=reason, sender=sender, since=_utc(since), until=_utc(until))
    )
    if preview:
        _show_previews(context, chosen, confirmed=confirm)
        return
    actor = getpass.getuser()
    done, problems = _run(
        context,
        lambda c: _each(
            c, inbox.replay(c, chosen, actor, confirmed=confirm), ids or (), "replayed"
        ),
    )
    Console(markup=False).print(f"{len(done)} messages will be processed again.")
    refused.end(problems)


@app.command()
def dismiss(
    context: typer.Context,
    ids: Annotated[list[int], typer.Argument(metavar="ID...", help="Dead letters.")],
    *,
    comment: Annotated[str, typer.Option(help="Why they are not needed; no patient data.")],
) -> None:
    """Put dead letters aside, with the reason; what waits behind them goes on.

    Example: sangam hl7 dismiss 42 --comment "sent again as 43"
    """
    actor = getpass.getuser()
    done, problems = _run(
        context, lambda c: _each(c, inbox.dismiss(c, ids, actor, comment), ids, "dismissed")
    )
    Console(markup=False).print(f"{len(done)} messages are dismissed.")
    refused.end(problems)


@app.command()
def release(
    context: typer.Context,
    ids: Annotated[list[int], typer.Argument(metavar="ID...", help="Dead letters that hold.")],
) -> None:
    """Let pass what waits behind dead letters (on_dead = "hold"), which stay as they are.

    Example: sangam hl7 release 42
    """
    actor = getpass.getuser()
    done, problems = _run(
        context, lambda c: _each(c, inbox.release(c, ids, actor), ids, "released: it holds nothing")
    )
    Console(markup=False).print(f"{len(done)} messages hold nothing any more.")
    refused.end(problems)


@app.command()
def merges(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
) -> None:
    """Show merges, moves and links that messages made.

    Example: sangam hl7 merges
    """
    table = Table("id", "message", "event", "at", "survivor", "retired", "taken back")
    for row in _run(context, lambda c: _rows(c, _MERGES, {"limit": limit})):
        id_, message, event, at, survivor, retired, undone = row
        told = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(str(id_), str(message), event, told, survivor, retired, undone or "")
    Console(markup=False).print(table)


@app.command("load")
def load_files(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, metavar="FILE...")],
) -> None:
    """Put the messages of files into the inbox: batches, streams, also UTF-16 and UTF-32.

    Example: sangam hl7 load monday.hl7
    """
    opener: ServerOpening = context.obj.server

    async def working() -> list[tuple[Path, Received]]:
        async with opener() as server:
            return await load(server, files)

    found = asyncio.run(working())
    for file, one in found:
        event = f"{one.type}^{one.event}" if one.event else one.type
        said = " ".join(filter(None, (event, one.state, one.reason, one.detail)))
        Console(markup=False).print(f"{file}: {said}")
    if any(one.state in {"dead", "rejected"} for _, one in found):
        raise typer.Exit(1)


@app.command()
def unmerge(
    context: typer.Context, id_: Annotated[int, typer.Argument(metavar="ID", help="The merge.")]
) -> None:
    """Take back a merge of two patients, with what came since under the prior one's numbers.

    Example: sangam hl7 unmerge 7
    """
    opener: ServerOpening = context.obj.server

    async def working() -> Unmerged:
        async with opener() as server:
            base = (await begin(server)).base
            return await taken_back(server, base, id_, getpass.getuser())

    done = asyncio.run(working())
    Console(markup=False).print(f"{len(done.versions)} versions were written.")
    for literal in done.review:
        Console(markup=False).print(f"{literal} is of both: look at it")


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment else None


def _show_previews(context: typer.Context, chosen: Chosen, *, confirmed: bool) -> None:
    """Print the changes of up to 20 messages, each as if it alone were replayed."""
    opener: ServerOpening = context.obj.server

    async def working() -> tuple[list[Preview], list[str]]:
        async with opener() as server:
            async with server.database.statement() as connection:
                found, problems = await _each(
                    connection,
                    inbox.find(connection, chosen, _PREVIEWED),
                    (chosen.ids or ())[:_PREVIEWED],
                    "previewed",
                )
            for one in found:
                await audit.read(server, one, getpass.getuser(), "preview")
            return [await previewed(server, one, confirmed=confirmed) for one in found], problems

    previews, problems = asyncio.run(working())
    for one in previews:
        became = " ".join(filter(None, (one.state, one.reason, one.detail)))
        Console(markup=False).print(f"message {one.id} would be {became}")
        for change in one.changes:
            table = Table("path", "before", "after", title=f"{change.kind} {change.reference}")
            for each in change.differences:
                table.add_row(each.path, _value(each.before), _value(each.after))
            Console(markup=False).print(table)
    refused.end(problems)


async def _each(
    connection: Connection, work: Awaitable[list[int]], ids: Sequence[int], verb: str
) -> tuple[list[int], list[str]]:
    """Do the work; return what was done, and why it was not to others of the messages named."""
    done = await work
    return done, await refused.left(connection, refused.INBOX, ids, done, verb)


def _value(said: object) -> str:
    return "" if said is None else encode(said).decode()


async def _rows(connection: Connection, query: str, values: dict[str, Any]) -> list[Any]:
    cursor = await connection.execute(query, values)
    return await cursor.fetchall()


def _run(context: typer.Context, work: Callable[[Connection], Awaitable[_T]]) -> _T:
    """Do the work on a connection of the database that the command line opens."""
    opening: Opening = context.obj

    async def working() -> _T:
        async with opening() as database, database.statement() as connection:
            return await work(connection)

    return asyncio.run(working())
