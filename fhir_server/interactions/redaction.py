"""References to what was erased, taken out of what stays.

https://hl7.org/fhir/R4/references.html#logical
"""

import base64
import math
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias
from urllib.parse import quote_plus

from fhir_server.audit import ledger
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.interactions.draft import Draft, keep, write
from fhir_server.interactions.references import literal_references
from fhir_server.r4 import json
from fhir_server.server import Server
from fhir_server.store import coverage, erase
from fhir_server.store import read as store
from fhir_server.store.erase import Version
from fhir_server.store.transact import Current, Method, Write

# Shorter ones are found in what has nothing to do with anybody.
SHORTEST: Final = 4
DISPLAY: Final = "erased"
SYSTEM: Final = "urn:sangam:erased"

Change: TypeAlias = Callable[[dict[str, Any]], bool]
"""Changes an object of a resource in place and says whether it did."""


def needles(patient: str) -> list[str]:
    """Return the texts by which a reference to a patient is found in JSON."""
    return [f'Patient/{patient}"', f"Patient/{patient}/", f"Patient\\/{patient}"]


def identifiers(text: str) -> set[str]:
    """Return the values of the identifiers of a resource's text."""
    if not text:
        return set()
    found = json.decode(text.encode()).get("identifier", ())
    return {str(one["value"]) for one in found if isinstance(one, dict) and one.get("value")}


def names(text: str) -> set[str]:
    """Return the names of a Patient's text, as they are and as a URL writes them."""
    found: set[str] = set()
    for one in json.decode(text.encode()).get("name", ()):
        parts = [one.get("text"), one.get("family"), *one.get("given", ())]
        found.update(part for part in parts if isinstance(part, str) and len(part) >= SHORTEST)
    return found | {quote_plus(one) for one in found}


async def redact(
    server: Server,
    connection: Connection,
    caller: Caller,
    keys: Sequence[int],
    literals: Collection[str],
) -> None:
    """Put a display in the place of references (`Type/id`) in all versions of resources."""
    change = _without(server.bases, frozenset(literals))
    await _revise(server, connection, caller, keys, change, history=True)


async def pseudonymise(
    server: Server, connection: Connection, caller: Caller, keys: Sequence[int], patient: str
) -> None:
    """Let AuditEvents name a patient by a pseudonym; no version before is kept."""
    literal = f"Patient/{patient}"
    name = ledger.pseudonym(server.registry.context.page_key, literal)
    change = _renamed(server.bases, literal, name)
    await _revise(server, connection, caller, keys, change, history=False)


def _without(bases: Sequence[str], literals: frozenset[str]) -> Change:
    def change(one: dict[str, Any]) -> bool:
        if _target(bases, one) not in literals:
            return False
        one.clear()
        one["display"] = DISPLAY
        return True

    return change


def _renamed(bases: Sequence[str], literal: str, name: str) -> Change:
    query = base64.b64encode(DISPLAY.encode()).decode()

    def change(one: dict[str, Any]) -> bool:
        if _target(bases, one) == literal:
            one.clear()
            one["identifier"] = {"system": SYSTEM, "value": name}
            return True
        # What was asked for may have said his name, and so may a reason.
        said = {"query": query} if "role" in one else {"outcomeDesc": DISPLAY}
        found = {name: text for name, text in said.items() if one.get(name, text) != text}
        one.update(found)
        return bool(found)

    return change


def _target(bases: Sequence[str], one: dict[str, Any]) -> str | None:
    """Return the `Type/id` of a local reference, None where the object is none."""
    text = one.get("reference")
    if not isinstance(text, str):
        return None
    for base in bases:
        text = text.removeprefix(f"{base}/")
    return re.sub("/_history/.*", "", text)


def changed(node: Any, change: Change) -> bool:  # noqa: ANN401  (any JSON)
    """Change the objects of a document in place; return whether any was."""
    if isinstance(node, dict):
        own = change(node)
        return max((changed(value, change) for value in node.values()), default=False) or own
    if isinstance(node, list):
        return max((changed(value, change) for value in node), default=False)
    return False


async def _revise(
    server: Server,
    connection: Connection,
    caller: Caller,
    keys: Sequence[int],
    change: Change,
    *,
    history: bool,
) -> None:
    """Change resources by a new version; the old ones are changed as they lie, or go."""
    found = await erase.versions(connection, keys)
    places = [(one[0].type_id, one[0].id) for one in found.values()]
    present = await store.lock(connection, places, "NO KEY UPDATE")
    registry = await coverage.refresh(server, connection, after=math.inf)
    writes: list[Write] = []
    for versions in found.values():
        current = present[versions[0].type_id, versions[0].id]
        last = versions[-1]
        new = _next(server, current, last, change) if last.text else None
        if new is not None:
            writes.append(new)
        if history or new is None:
            for one in versions:
                await _change_text(connection, one, change)
    await keep(server, connection, writes, registry.version, caller=caller)
    if not history:
        for made in writes:
            await erase.forget_before(connection, made.key, made.version)


def _next(server: Server, current: Current, last: Version, change: Change) -> Write | None:
    """Return the version that says no more than it may, None where it says so already."""
    raw = last.text.encode()
    data = json.decode_keeping(raw)
    if not changed(data, change):
        return None
    text = json.encode(data)
    type_name = server.definitions.type_names[last.type_id]
    data = json.decode(text)
    draft = Draft(type_name, data, text, literal_references(server, type_name, data))
    made = write(server, draft, last.id, Method.PUT, current)
    # What it refers to is as it was.
    return None if made is None else replace(made, references=())


async def _change_text(connection: Connection, one: Version, change: Change) -> None:
    if not one.text:
        return
    data = json.decode_keeping(one.text.encode())
    if changed(data, change):
        await erase.replace_text(connection, one, json.encode(data).decode())
