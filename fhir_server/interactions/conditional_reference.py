"""Conditional references: `Patient?identifier=system|value` in a transaction.

They are answered by what will be stored once the transaction is: its writes are
done for trial, searched among, and undone again. Criteria see what the other
entries create, change and delete, but not where their conditional references lead.

https://hl7.org/fhir/R4/http.html#trules
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import PreconditionFailed
from fhir_server.interactions import match, writing
from fhir_server.interactions.draft import keep
from fhir_server.interactions.entry import placed
from fhir_server.interactions.match import Criteria, Match, UnanswerableError
from fhir_server.interactions.references import is_conditional
from fhir_server.interactions.rewrite import Known
from fhir_server.interactions.step import Step
from fhir_server.server import Server


@dataclass(frozen=True, slots=True)
class Trial:
    """What the trial goes by: the fullUrls, and the version of the search parameters."""

    known: Known
    registry: int


async def resolved(
    server: Server, connection: Connection, caller: Caller, writes: Sequence[Step], trial: Trial
) -> dict[str, str]:
    """Return `Type?criteria` → `Type/id` for every conditional reference in the entries.

    Steps whose resources the criteria look at have their write made for it. The
    rows that the steps change are locked. PreconditionFailed, placed in the entry,
    unless exactly one resource matches.
    """
    asked = _asked(server, writes)
    if not asked:
        return {}
    wanted = list(dict.fromkeys(one for one, _, _ in asked.values()))
    seen = [step for step in writes if _is_seen(step, wanted)]
    for step in seen:
        step.write = writing.made(server, step, trial.known)
    tried = [step.write for step in seen if step.write]
    undone = connection.transaction(force_rollback=True) if tried else nullcontext()
    async with undone:
        await keep(server, connection, tried, trial.registry, caller=caller, trial=True)
        try:
            found = await match.match(server, connection, caller, wanted)
        except UnanswerableError as error:
            index = next(i for one, _, i in asked.values() if one == error.criteria)
            raise placed(error.refusal, index) from None
    return _literals(asked, dict(zip(wanted, found, strict=True)))


def has_any(server: Server, step: Step) -> bool:
    """Whether the step's resource has a conditional reference."""
    return any(is_conditional(server, holder["reference"]) for _, holder in step.references)


_Asked = Mapping[str, tuple[Criteria, str, int]]
"""Reference text → criteria, with the FHIRPath and the entry where it stands first."""


def _asked(server: Server, writes: Iterable[Step]) -> _Asked:
    asked: dict[str, tuple[Criteria, str, int]] = {}
    for step in writes:
        for path, holder in () if step.existing else step.references:
            text = holder["reference"]
            if is_conditional(server, text) and text not in asked:
                type_name, _, query = text.partition("?")
                with step.refusals():
                    asked[text] = (match.criteria(type_name, query), path, step.index)
    return asked


def _is_seen(step: Step, wanted: Iterable[Criteria]) -> bool:
    """Whether what the step writes can decide what one of the criteria meets."""
    return any(one.type == step.target.type or _looks_around(one) for one in wanted)


def _looks_around(one: Criteria) -> bool:
    """Whether the criteria may look at resources of other types: chains, `_has`, lists."""
    return any("." in name or ":" in name or name in {"_list", "_filter"} for name, _ in one.pairs)


def _literals(asked: _Asked, found: Mapping[Criteria, Sequence[Match]]) -> dict[str, str]:
    known: dict[str, str] = {}
    for text, (one, path, index) in asked.items():
        matches = found[one]
        if len(matches) != 1:
            what = "several matches" if matches else "no match"
            error = PreconditionFailed(
                f"The conditional reference has {what}",
                code="multiple-matches" if matches else "not-found",
                expression=f"{path}.reference",
            )
            raise placed(error, index)
        known[text] = f"{one.type}/{matches[0].id}"
    return known
