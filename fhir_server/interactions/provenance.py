"""The Provenance that a client sends beside a write, in the header X-Provenance.

https://hl7.org/fhir/R4/provenance.html#header
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import BadRequest, SangamError, Unprocessable
from fhir_server.interactions.draft import Draft, checked, keep, parsed, write
from fhir_server.interactions.entry import Outcome
from fhir_server.interactions.references import literal_references
from fhir_server.r4 import json
from fhir_server.server import Server
from fhir_server.store.transact import Method, Write

PROVENANCE = "Provenance"
# A Provenance of more versions has more index rows than one resource may have.
MOST_TARGETS = 500
_PLACE = f"{PROVENANCE}.target["
_ANY_TARGET = [{"reference": "#"}]


@dataclass(frozen=True, slots=True)
class Given:
    """A valid Provenance but for its `target`: parsed, and as JSON text."""

    data: dict[str, Any]
    raw: bytes


async def given(server: Server, header: str | None) -> Given | None:
    """Return the Provenance in the header, None without one; BadRequest for what is none.

    HTTP headers are bytes and reach us as Latin-1; the JSON in them is UTF-8.
    """
    if header is None:
        return None
    raw = header.encode("latin-1")
    try:
        data = parsed(server, PROVENANCE, raw)
        if "target" in data:
            raise BadRequest(
                "The server names the targets", code="structure", expression="Provenance.target"
            )
        tried = {**data, "target": _ANY_TARGET}
        references = literal_references(server, PROVENANCE, data)
        await checked(server, Draft(PROVENANCE, tried, raw, references))
    except SangamError as error:
        raise _refused(error) from None
    return Given(data, raw)


async def record(
    server: Server,
    connection: Connection,
    caller: Caller,
    said: Given | None,
    outcomes: Iterable[Outcome],
) -> None:
    """Store the Provenance of the versions that were written, inside the open transaction.

    Nothing is stored without one, or when nothing was written. BadRequest when it
    refers to what is not stored.
    """
    if said is None:
        return
    targets = [{"reference": literal} for one in outcomes for literal in one.written]
    pieces = range(0, len(targets), MOST_TARGETS)
    registry = server.registry.version
    new = [_write(server, said, targets[start : start + MOST_TARGETS]) for start in pieces]
    try:
        await keep(server, connection, new, registry, caller=caller)
    except Unprocessable as error:
        raise _refused(error) from None


def _write(server: Server, said: Given, targets: Sequence[dict[str, str]]) -> Write:
    data = {**said.data, "target": targets}
    raw = json.encode({**json.members(said.raw), "target": targets})
    draft = Draft(PROVENANCE, data, raw, literal_references(server, PROVENANCE, data))
    new = write(server, draft, server.new_id(), Method.POST, None)
    if new is None:
        raise AssertionError("a create always writes")
    # A target may be the version that deletes its resource.
    others = tuple(one for one in new.references if not one[2].startswith(_PLACE))
    return replace(new, references=others)


def _refused(error: SangamError) -> BadRequest:
    issues = [replace(one, text=f"X-Provenance: {one.text}") for one in error.issues]
    return BadRequest(error.text, issues=issues)
