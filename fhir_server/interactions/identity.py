"""Which resource each write of a transaction is about.

https://hl7.org/fhir/R4/http.html#trules
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import BadRequest, Conflict, Forbidden, NotFound, PreconditionFailed
from fhir_server.interactions import match
from fhir_server.interactions.entry import placed
from fhir_server.interactions.match import ONE_TOO_MANY, Criteria, Match, UnanswerableError
from fhir_server.interactions.step import Step
from fhir_server.r4 import json
from fhir_server.server import Server
from fhir_server.store import read as store
from fhir_server.store.attempts import changed_meanwhile

MAKING = frozenset(("POST", "PUT"))
CHANGING = frozenset(("PUT", "PATCH", "DELETE"))


async def identified(
    server: Server, connection: Connection, caller: Caller, writes: Sequence[Step]
) -> list[Step]:
    """Give every write its id: from the URL, from what matches, or a new one.

    Returns the writes, with one more for each further resource that a conditional
    deletion deletes. PreconditionFailed for several matches where one is meant.
    """
    conditional = [step for step in writes if step.criteria]
    await _find(server, connection, caller, conditional)
    # What is there will be held by its row. Only who found nothing has to keep others from
    # making it, and must look again, as they may have done so already.
    making = [step for step in conditional if step.method in MAKING and not step.found]
    await match.lock(connection, [step.criteria for step in making if step.criteria])
    await _find(server, connection, caller, making)
    made = _made(server, making)
    for step in conditional:
        with step.refusals():
            _settle(server, step, made)
    for step in writes:
        if step.id is None and step.method == "POST":
            step.id = server.new_id()
    return [one for step in writes for one in (step, *step.others)]


async def _find(
    server: Server, connection: Connection, caller: Caller, conditional: Sequence[Step]
) -> None:
    matches = await _matches(server, connection, caller, conditional)
    for step, found in zip(conditional, matches, strict=True):
        step.found = found


async def _matches(
    server: Server, connection: Connection, caller: Caller, conditional: Sequence[Step]
) -> list[list[Match]]:
    """Return the matches of each step's criteria; of several alike, each only once."""
    several = server.settings.write.conditional_delete == "multiple"
    most = server.settings.limits.conditional_deletes + 1
    answers: dict[tuple[Criteria, int], list[Match]] = {}
    asked = [
        (step.criteria, most if several and step.method == "DELETE" else ONE_TOO_MANY)
        for step in conditional
        if step.criteria
    ]
    for limit in sorted({limit for _, limit in asked}):
        wanted = list(dict.fromkeys(one for one, its in asked if its == limit))
        try:
            found = await match.match(server, connection, caller, wanted, limit)
        except UnanswerableError as error:
            step = next(one for one in conditional if one.criteria == error.criteria)
            with step.refusals():
                raise error.refusal from None
        answers |= {(one, limit): ids for one, ids in zip(wanted, found, strict=True)}
    return [answers[one] for one in asked]


def _made(server: Server, making: Sequence[Step]) -> dict[Criteria, tuple[str, Step]]:
    """Return for criteria that meet nothing the id of what is made, and the step that makes it.

    Of several creates the one whose text comes first makes it, in whichever order
    the entries stand.
    """
    alike: dict[Criteria, list[Step]] = {}
    for step in making:
        if step.criteria and not step.found:
            alike.setdefault(step.criteria, []).append(step)
    made = {}
    for criteria, steps in alike.items():
        creates = [step for step in steps if step.method == "POST"]
        if len(creates) > 1 and server.settings.write.equal_conditional_creates == "refuse":
            error = PreconditionFailed(
                "Another entry creates under the same criteria", code="multiple-matches"
            )
            raise placed(error, creates[1].index)
        maker = min(creates or steps, key=_text)
        named = maker.entry.resource.get("id") if maker.entry.resource else None
        id_ = named if maker.method == "PUT" and named else server.new_id()
        made[criteria] = (id_, maker)
    return made


def _text(step: Step) -> bytes:
    return step.entry.raw or json.encode(step.entry.resource)


def _settle(server: Server, step: Step, made: dict[Criteria, tuple[str, Step]]) -> None:
    """Decide a conditional write by the number of its matches (section 2 of the note)."""
    ids = [one.id for one in step.found]
    if step.method == "DELETE":
        _settle_deletion(server, step, ids)
        return
    if len(ids) > 1:
        raise PreconditionFailed("Several resources match the criteria", code="multiple-matches")
    named = step.entry.resource.get("id") if step.entry.resource else None  # of a PUT
    if ids:
        if step.method == "PUT" and named not in {None, ids[0]}:
            text = "The id in the body is not that of the match"
            raise BadRequest(text, code="value", expression=f"{step.target.type}.id")
        step.id, step.existing = ids[0], step.method == "POST"
    elif step.method == "PATCH":
        raise NotFound("No resource matches the criteria")
    elif step.criteria:
        step.id, maker = made[step.criteria]
        step.existing = step.method == "POST" and maker is not step
        step.fresh = step.method == "PUT"


def _settle_deletion(server: Server, step: Step, ids: list[str]) -> None:
    several = server.settings.write.conditional_delete == "multiple"
    if len(ids) > 1 and not several:
        raise PreconditionFailed("Several resources match the criteria", code="multiple-matches")
    most = server.settings.limits.conditional_deletes
    if len(ids) > most:
        raise Forbidden(f"More than {most} resources match the criteria", code="too-costly")
    if len(ids) > 1 and step.entry.if_match is not None:
        raise PreconditionFailed("If-Match is for one resource", code="multiple-matches")
    if ids:
        step.id = ids[0]
        step.others = [replace(step, id=id_, criteria=None, found=()) for id_ in ids[1:]]


async def lock(
    server: Server, connection: Connection, caller: Caller, writes: Sequence[Step]
) -> None:
    """Lock the rows that are there, and see that criteria still meet what they met.

    All who change rows take them in one order, so that none waits for another in a
    circle; then those are taken that are deleted, for which who refers to them is
    waited for; last, what conditional creates found is kept from deletion.
    """
    type_ids = server.definitions.type_ids
    changed, kept = (
        {
            id(step): (type_ids[step.target.type], step.id)
            for step in writes
            if step.id is not None and step.existing == existing and step.method in methods
        }
        for existing, methods in ((False, CHANGING), (True, MAKING))
    )
    present = await store.lock(connection, changed.values(), "NO KEY UPDATE")
    going = [changed[id(step)] for step in writes if step.method == "DELETE" and step.id]
    # Not those that have appeared since: they would be taken out of the order.
    await store.lock(connection, present.keys() & set(going), "UPDATE")
    present |= await store.lock(connection, kept.values(), "KEY SHARE")
    addressed = changed | kept
    for step in writes:
        step.present = present.get(addressed.get(id(step), (0, "")))
    for step in writes:
        if step.fresh and step.present is not None and not step.present.deleted:
            with step.refusals():
                raise Conflict("The id in the body is that of a resource that does not match")
    doubtful = [step for step in writes if step.found and not _as_found(step)]
    again = await _matches(server, connection, caller, doubtful)
    for step, now in zip(doubtful, again, strict=True):
        if [one.id for one in now] != [one.id for one in step.found]:
            raise changed_meanwhile()


def _as_found(step: Step) -> bool:
    """Whether what the criteria found is certain not to have changed before it was locked."""
    return all(
        one.present is not None and one.present.version == match.version
        for one, match in zip((step, *step.others), step.found, strict=True)
    )


def refuse_overlap(steps: Iterable[Step], writes: Sequence[Step]) -> None:
    """Refuse two writes of one resource, and two equal fullUrls: they have no defined result."""
    seen: set[str] = set()
    for step in writes:
        if step.id is not None and not step.existing:
            if step.literal in seen:
                raise placed(BadRequest("Two entries write the same resource"), step.index)
            seen.add(step.literal)
    others = {step.literal for step in writes if step.method != "POST" and step.id is not None}
    for step in writes:
        if step.existing and step.literal in others:
            error = BadRequest("An entry changes what another finds by its criteria")
            raise placed(error, step.index)
    urls: set[tuple[str, str]] = set()
    for step in steps:
        url = (step.entry.full_url or "", _version_id(step))
        if url[0] and url in urls:
            raise placed(BadRequest("Two entries have this fullUrl"), step.index)
        urls.add(url)


def _version_id(step: Step) -> str:
    """Return the version that an entry's resource says to be; bdl-7 lets only these differ."""
    meta = step.entry.resource.get("meta") if step.entry.resource else None
    return str(meta.get("versionId", "")) if isinstance(meta, dict) else ""


def full_urls(writes: Iterable[Step]) -> dict[str, str]:
    """Return the literal reference for each fullUrl that the entries give to what they store.

    Where several versions have one fullUrl, it stands for none of them alone:
    references name the version.
    """
    named: dict[str, list[Step]] = {}
    for step in writes:
        if step.entry.full_url and step.method != "DELETE":
            named.setdefault(step.entry.full_url, []).append(step)
    known = {url: steps[0].literal for url, steps in named.items() if len(steps) == 1}
    for url, steps in named.items():
        if len(steps) > 1:
            known |= {f"{url}/_history/{_version_id(step)}": step.literal for step in steps}
    return known
