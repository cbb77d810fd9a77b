"""The patients and visits from which a user may choose: those that the user may see.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html#requesting-context-with-scopes
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

from fhir_server.audit.record import Record, keep, who, written
from fhir_server.caller import Caller, Trail
from fhir_server.errors import Forbidden
from fhir_server.identity.launches import is_id
from fhir_server.interactions.search import search
from fhir_server.r4 import json
from fhir_server.server import Server

SHOWN: Final = 20
"""Lines of a list; who searches by name finds the others."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A line to choose from: the id of a resource, what it is called, what tells it apart."""

    id: str
    name: str
    detail: str


async def patients(server: Server, caller: Caller, text: str) -> list[Choice]:
    """Return patients whom the caller may see, by a part of the name or a number."""
    asked = [("active:not", "false")]
    if any(letter.isdigit() for letter in text):
        asked.append(("identifier", _escaped(text.strip())))
    else:
        asked += [("name", _escaped(word)) for word in text.split()[:5]]
    found = await _found(server, caller, "Patient", [*asked, ("_sort", "family")])
    return [_patient(one) for one in found]


async def patient(server: Server, caller: Caller, id_: str) -> Choice | None:
    """Return the patient, None when there is none whom the caller may see."""
    if not is_id(id_):
        return None
    found = await _found(server, caller, "Patient", [("_id", id_)])
    return _patient(found[0]) if found else None


async def encounters(server: Server, caller: Caller, patient_id: str) -> list[Choice]:
    """Return the patient's visits that the caller may see, the latest first."""
    asked = [("patient", f"Patient/{patient_id}"), ("_sort", "-date")]
    return [_encounter(one) for one in await _found(server, caller, "Encounter", asked)]


async def encounter(server: Server, caller: Caller, patient_id: str, id_: str) -> Choice | None:
    """Return the visit of the patient, None when there is none that the caller may see."""
    if not is_id(id_):
        return None
    asked = [("_id", id_), ("patient", f"Patient/{patient_id}")]
    found = await _found(server, caller, "Encounter", asked)
    return _encounter(found[0]) if found else None


async def _found(
    server: Server, caller: Caller, type_name: str, asked: Sequence[tuple[str, str]]
) -> list[Mapping[str, Any]]:
    """Return the matches; none where the caller may not search the type."""
    pairs = [*asked, ("_count", str(SHOWN)), ("_total", "none")]
    trail = Trail(server.new_id())
    try:
        answer = await search(server, replace(caller, trail=trail), type_name, pairs)
    except Forbidden:
        return []
    query = f"{type_name}?{urlencode(pairs)}"
    seen = sorted(trail.keys)
    record = Record("search-type", who(caller), request=trail.request, query=query, keys=seen)
    # Before it is shown: what cannot be recorded is not seen.
    async with server.database.statement() as connection:
        await keep(connection, [written(record)])
    bundle: Mapping[str, Any] = json.decode(answer)
    return [
        one["resource"]
        for one in bundle.get("entry", ())
        if one.get("search", {}).get("mode") == "match"
    ]


def _escaped(text: str) -> str:
    """Return a text as a search value of no other meaning (R4, escaping)."""
    return "".join(f"\\{one}" if one in "\\,$|" else one for one in text)


def _patient(resource: Mapping[str, Any]) -> Choice:
    names = resource.get("name", ())
    chosen = next((one for one in names if one.get("use") == "official"), names[0] if names else {})
    given = " ".join(chosen.get("given", ()))
    name = chosen.get("text") or " ".join(filter(None, (given, chosen.get("family"))))
    numbers = (one.get("value") for one in resource.get("identifier", ()))
    parts = (resource.get("birthDate"), resource.get("gender"), next(numbers, None))
    return Choice(resource["id"], name or "(no name)", _joined(parts))


def _encounter(resource: Mapping[str, Any]) -> Choice:
    period = resource.get("period", {})
    kind = _words(resource.get("type", ())) or resource.get("class", {}).get("display")
    days = [str(period[name])[:10] for name in ("start", "end") if period.get(name)]
    when = " to ".join(dict.fromkeys(days))
    return Choice(
        resource["id"],
        kind or resource.get("class", {}).get("code") or "Visit",
        _joined((when, resource.get("status"))),
    )


def _words(concepts: Iterable[Mapping[str, Any]]) -> str | None:
    """Return what people call the first of some CodeableConcepts."""
    for one in concepts:
        displays = (coding.get("display") for coding in one.get("coding", ()))
        if found := one.get("text") or next(filter(None, displays), None):
            return str(found)
    return None


def _joined(parts: Iterable[str | None]) -> str:
    return " · ".join(part for part in parts if part)
