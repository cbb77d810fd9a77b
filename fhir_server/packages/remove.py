"""The removal of a package: what it brought goes, unless it is not only its own any more."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import BadRequest, Conflict, NotFound
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.put_many import culprit
from fhir_server.interactions.transaction import transaction
from fhir_server.packages import record
from fhir_server.packages.record import Brought, Installed
from fhir_server.server import Server
from fhir_server.store.attempts import atomically


@dataclass(slots=True)
class Away:
    """What came of it: `deleted` counts by type.

    `changed` are resources (type/id) that were written since and stay; `shared` counts
    those that another package has too.
    """

    label: str
    deleted: Counter[str] = field(default_factory=Counter)
    changed: list[str] = field(default_factory=list)
    shared: int = 0


async def remove(server: Server, caller: Caller, name: str, version: str | None = None) -> Away:
    """Remove a package, and the resources that it brought and nobody has changed since.

    NotFound when it is not installed; BadRequest when several versions are and none is
    named; Conflict when another package depends on it, or a resource that stays refers to
    one that would go.
    """

    async def work(connection: Connection) -> Away:
        await record.lock(connection)
        installed = await record.installed(connection)
        package = _named(installed, name, version)
        dependent = [one.label for one in installed if _depends(one, package)]
        if dependent:
            raise Conflict(f"{', '.join(dependent)} depends on {package.label}")
        rows = await record.resources(connection, package.id)
        away = await take_away(server, connection, caller, package.id, rows)
        await record.forget(connection, package.id)
        away.label = package.label
        return away

    away = await atomically(server.database, work)
    server.in_force.doubt()
    return away


def _named(installed: Sequence[Installed], name: str, version: str | None) -> Installed:
    found = [one for one in installed if one.name == name and version in {None, one.version}]
    if not found:
        raise NotFound(f"{name}{f'#{version}' if version else ''} is not installed")
    if len(found) > 1:
        versions = ", ".join(one.version for one in found)
        raise BadRequest(f"Several versions of {name} are installed ({versions}): name one")
    return found[0]


def _depends(one: Installed, on: Installed) -> bool:
    return one.id != on.id and one.dependencies.get(on.name) == on.version


async def take_away(
    server: Server, connection: Connection, caller: Caller, package: int, rows: Sequence[Brought]
) -> Away:
    """Delete what a package brought with these files; what others have is theirs from now on."""
    names = server.definitions.type_names
    away = Away("")
    brought = {row.key: row for row in rows if row.brought and row.current is not None}
    going: list[Brought] = []
    for row in brought.values():
        if row.others:
            away.shared += 1
        elif row.current != row.version:
            away.changed.append(f"{names[row.type_id]}/{row.id}")
        else:
            going.append(row)
            away.deleted[names[row.type_id]] += 1
    await record.hand_over(connection, package, [row.key for row in brought.values() if row.others])
    literals = [f"{names[row.type_id]}/{row.id}" for row in going]
    await _delete(server, connection, caller, literals)
    return away


async def _delete(
    server: Server, connection: Connection, caller: Caller, literals: Sequence[str]
) -> None:
    if not literals:
        return
    entries = [Entry("DELETE", literal) for literal in literals]
    try:
        await transaction(server, connection, caller, entries)
    except Conflict as error:
        index = culprit(error)
        if index is None:
            raise
        raise Conflict(f"{literals[index]} has to stay: {error.text}") from error
