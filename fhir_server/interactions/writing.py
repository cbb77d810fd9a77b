"""What a step of a transaction stores.

https://hl7.org/fhir/R4/http.html#update
"""

from collections.abc import Sequence
from dataclasses import replace

from fhir_server.access.reach import within
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import BadRequest, Gone, MethodNotAllowed, NotFound
from fhir_server.interactions import binary
from fhir_server.interactions.draft import Draft, checked, deletion, write
from fhir_server.interactions.patching import patched
from fhir_server.interactions.precondition import require
from fhir_server.interactions.profiling import Moment
from fhir_server.interactions.references import literal_references
from fhir_server.interactions.rewrite import Known, rewritten
from fhir_server.interactions.step import Step
from fhir_server.r4 import json
from fhir_server.server import Server
from fhir_server.store import read as store
from fhir_server.store.transact import Method, Write


async def check(
    server: Server, caller: Caller, step: Step, moment: Moment, *, linked: bool
) -> None:
    """Refuse a resource that is not valid; one that will not be stored is not looked at.

    Conditional references are for `linked` entries, those of a transaction. A
    Binary's large data are set aside.
    """
    if step.existing or step.method == "DELETE" or step.entry.resource is None:
        return
    with step.refusals():
        step.entry = await binary.set_aside(server, step.entry)
        patched = step.method == "PATCH"
        draft = await checked(
            server,
            _draft(step),
            linked=linked,
            door=caller.door,
            patched=patched,
            moment=moment,
        )
        step.labels = draft.labels


def require_present(server: Server, step: Step) -> None:
    """Hold the step's conditions on the version against what is stored."""
    if step.method == "POST":
        return
    entry, present = step.entry, step.present
    needed = server.settings.write.require_if_match
    with step.refusals():
        require(
            present,
            if_match=entry.if_match,
            if_none_match=entry.if_none_match,
            needed=step.target.type in needed or "*" in needed,
        )
        if step.method == "PATCH":
            _require_stored(step)
        chosen = step.method == "PUT" and entry.resource is not None and entry.resource.get("id")
        if chosen and present is None and not server.settings.write.update_create:
            headers = {"Allow": "GET, HEAD"}
            raise MethodNotAllowed("An update does not create here", headers=headers)


def _require_stored(step: Step) -> None:
    type_name, present = step.target.type, step.present
    if present is None:
        raise NotFound(f"There is no such {type_name}")
    if present.deleted:
        raise Gone(f"The {type_name} was deleted", headers={"ETag": f'W/"{present.version}"'})


async def patch(
    server: Server,
    connection: Connection,
    caller: Caller,
    steps: Sequence[Step],
    moment: Moment,
    *,
    linked: bool,
) -> None:
    """Make updates of patches: the stored resources, which are locked, with the patches applied."""
    wanted = [(one.present.type_id, one.present.id) for one in steps if one.present]
    if not wanted:
        return
    async with within(server, connection, caller, changing=True):
        stored = await store.currents(connection, wanted)
    for step, place in zip(steps, wanted, strict=True):
        type_name, asked = step.target.type, step.entry.resource
        with step.refusals():
            if asked is None:
                raise BadRequest("The entry has no resource", code="required")
            before = await binary.whole(server, stored[place].body)
            raw = json.encode(patched(server, type_name, before, asked))
        data = json.decode(raw)
        step.entry = replace(step.entry, resource=data, raw=raw)
        step.references = literal_references(server, type_name, data)
        await check(server, caller, step, moment, linked=linked)


def made(server: Server, step: Step, known: Known) -> Write | None:
    """Return what the step stores, None when it stores nothing."""
    entry = step.entry
    if step.method == "DELETE":
        stored = step.present is not None and not step.present.deleted
        return deletion(server, step.present) if step.present and stored else None
    if step.existing or entry.resource is None or step.id is None:
        return None
    with (
        step.refusals(),
        rewritten(server.definitions, _draft(step), known, entry.full_url) as final,
    ):
        return write(server, final, step.id, Method[step.method], step.present)


def _draft(step: Step) -> Draft:
    entry = step.entry
    data = entry.resource or {}
    raw = entry.raw or b""
    return Draft(step.target.type, data, raw, step.references, step.place, entry.blob, step.labels)
