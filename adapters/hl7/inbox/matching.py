"""Which stored resource a message means.

Section 8 of the project's HL7 specification: never by name or date of birth.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from adapters.hl7.inbox.snapshot import Snapshot
from adapters.hl7.mapping.context import Json, Refusal, Write
from adapters.hl7.mapping.datatypes import hd

# Types of identifiers (table 0203) by the kinds that `patient_match` names.
_KINDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("NI", "NNxxx", "SS", "SB", "PPN"), "national"),
    **dict.fromkeys(("MR", "MRT"), "MR"),
    **dict.fromkeys(("PI", "PT", "PN"), "PI"),
}
_NUMBERS: Final = frozenset(("PLAC", "FILL"))
# Of whom these are cannot change by a result, an order or a specimen.
_OWNED: Final = {
    "DiagnosticReport": "PID-3",
    "Encounter": "PV1-19",
    "Observation": "PID-3",
    "ServiceRequest": "ORC-2",
    "Specimen": "SPM-2",
}
CLASH: Final = "Name, birth date or sex differ from those of the patient"


def tokens(write: Write, order: Sequence[str], trust: Mapping[str, str]) -> tuple[str, ...]:
    """Return the identifiers by which what is written may be found, the best first.

    Of a Patient those whose kind is in `order`; one whose system is trusted with
    nothing never says who somebody is.
    """
    kind = write.resource["resourceType"]
    if kind == "Patient":
        return _trusted(write, order, trust)
    if kind == "ServiceRequest":
        placers, fillers = (_typed(write.resource, code) for code in ("PLAC", "FILL"))
        numbers = placers if _is_keyed(write) else [*placers, *fillers]
        return tuple(dict.fromkeys((*write.identity, *numbers)))
    return write.identity


def own(write: Write, named: Sequence[str]) -> Sequence[str]:
    """Return the tokens that are of what is written: the last of a result's is its own."""
    return named[-1:] if write.resource["resourceType"] == "Observation" else named


def _is_keyed(write: Write) -> bool:
    """Whether an order is named by number and code, as its message has several codes for it."""
    return write.identity[0] not in {
        token for code in ("PLAC", "FILL") for token in _typed(write.resource, code)
    }


def _trusted(write: Write, order: Sequence[str], trust: Mapping[str, str]) -> tuple[str, ...]:
    ranked: dict[str, int] = {}
    identifiers = {hd.token(one): one for one in write.resource.get("identifier", ())}
    for token in write.identity:
        kind = _kind(identifiers.get(token, {}), trust)
        if kind in order:
            ranked.setdefault(token, order.index(kind))
    if not ranked:
        text = "No identifier of the patient is one that says who somebody is"
        raise Refusal("NO_PATIENT_ID", text, "PID-3", "101")
    return tuple(sorted(ranked, key=ranked.__getitem__))


def _kind(identifier: Json, trust: Mapping[str, str]) -> str:
    said = trust.get(identifier.get("system", ""), "")
    if said in {"national", "none"}:
        return said
    code = identifier.get("type", {}).get("coding", ({},))[0].get("code", "")
    return _KINDS.get(code, "other")


def _typed(resource: Json, code: str) -> list[str]:
    return [
        hd.token(one)
        for one in resource.get("identifier", ())
        if one.get("type", {}).get("coding", ({},))[0].get("code") == code and "value" in one
    ]


def matched(write: Write, named: Sequence[str], snapshot: Snapshot) -> str | None:
    """Return the reference of what is meant, None for what is new; Refusal where it is open."""
    kind = write.resource["resourceType"]
    hits = {token: found for token in named if (found := snapshot.references(kind, token))}
    if kind == "ServiceRequest":
        which = _keyed_order if _is_keyed(write) else _order
        return which(write.resource, hits, snapshot)
    if kind == "Observation" and len(named) > 1:
        hits = _at_its_time(write, named, hits, snapshot)
    if kind == "Encounter":
        hits = dict(list(hits.items())[:1])
    found = list(dict.fromkeys(one for some in hits.values() for one in some))
    if len(found) > 1:
        if kind == "Patient":
            text = "The identifiers are those of several patients"
            raise Refusal("AMBIGUOUS_PATIENT", text, "PID-3", "204")
        raise Refusal("INVALID_RESOURCE", f"Several of {kind} have this identifier", code="204")
    return found[0] if found else None


def _at_its_time(
    write: Write, named: Sequence[str], hits: Mapping[str, list[str]], snapshot: Snapshot
) -> dict[str, list[str]]:
    """Return what is stored of one time under another key, else what is under the result's own.

    A result that came alone may come again in a series, and one of a series alone.
    """
    when = write.resource.get("effectiveDateTime")
    *others, own = named
    for token in others:
        same = [
            one
            for one in hits.get(token, ())
            if (snapshot.resource(one) or {}).get("effectiveDateTime") == when
        ]
        if same:
            return {token: same}
    return {own: list(hits[own])} if own in hits else {}


def _order(given: Json, hits: Mapping[str, Sequence[str]], snapshot: Snapshot) -> str | None:
    """Return the order of a placer number, else of a filler number.

    A filler that gives one number to several orders (an accession) has orders with
    other placer numbers under it: those are not meant.
    """
    placers, fillers = _typed(given, "PLAC"), _typed(given, "FILL")
    by_filler = _of(hits, fillers)
    by_placer = [one for token in hits if token not in fillers for one in hits[token]]
    by_placer = list(dict.fromkeys(by_placer))
    if len(by_placer) > 1:
        by_placer = _of_code(given, by_placer, snapshot)
    if by_placer:
        if not fillers or by_placer[0] in by_filler or not by_filler:
            return by_placer[0]
        if _contradicts(snapshot, by_placer[0], by_filler, fillers):
            raise _ambiguous()
        return by_placer[0]
    if placers:
        by_filler = [one for one in by_filler if not _typed(_resource(snapshot, one), "PLAC")]
    return _of_code(given, by_filler, snapshot)[0] if by_filler else None


def _keyed_order(given: Json, hits: Mapping[str, Sequence[str]], snapshot: Snapshot) -> str | None:
    """Return the order of the key, else that of the placer number with the same code.

    That one came alone, and what is told now has more codes under its number.
    """
    placers = _typed(given, "PLAC")
    by_key = [one for token in hits if token not in placers for one in hits[token]]
    if by_key:
        return by_key[0]
    wanted = _codes(given)
    alike = [one for one in _of(hits, placers) if wanted & _codes(_resource(snapshot, one))]
    if len(alike) > 1:
        raise _ambiguous()
    return alike[0] if alike else None


def _of(hits: Mapping[str, Sequence[str]], numbers: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(one for token in numbers for one in hits.get(token, ())))


def _of_code(given: Json, found: list[str], snapshot: Snapshot) -> list[str]:
    """Of several orders with one number take that of the code; Refusal where that is open."""
    if len(found) == 1:
        return found
    wanted = _codes(given)
    alike = [one for one in found if wanted & _codes(_resource(snapshot, one))]
    if len(alike) != 1:
        raise _ambiguous()
    return alike


def _codes(resource: Json) -> set[tuple[str, str]]:
    codings = resource.get("code", {}).get("coding", ())
    return {(one.get("system", ""), one["code"]) for one in codings if "code" in one}


def _contradicts(
    snapshot: Snapshot, one: str, others: Sequence[str], fillers: Sequence[str]
) -> bool:
    """Whether placer and filler number name two orders, each with numbers of its own."""
    systems = {token.rpartition("|")[0] for token in fillers}
    own = _typed(_resource(snapshot, one), "FILL")
    differs = any(token.rpartition("|")[0] in systems for token in own)
    return differs or any(not _typed(_resource(snapshot, o), "PLAC") for o in others)


def _resource(snapshot: Snapshot, reference: str) -> Json:
    return snapshot.resource(reference) or {}


def _ambiguous() -> Refusal:
    text = "Placer and filler number are those of different orders"
    return Refusal("AMBIGUOUS_ORDER", text, "ORC-2", "204")


def refuse_other_patient(given: Json, stored: Json, subject: str) -> None:
    """Raise PATIENT_CONFLICT where what is stored is of another patient than the message's.

    A filler that uses a number again for somebody else must not move results from one
    person to another.
    """
    kind = given["resourceType"]
    owner = str(stored.get("subject", {}).get("reference", ""))
    if kind in _OWNED and owner and subject and owner != subject:
        text = f"The {kind} with this number is of another patient"
        raise Refusal("PATIENT_CONFLICT", text, _OWNED[kind], "204")


def refuse_other_order(given: Json, stored: Json) -> None:
    """Raise AMBIGUOUS_ORDER where a report with this key answers another order.

    One filler number for two orders of a code (an accession, a number that is used again):
    another placer number tells so, unless what was collected is the same.
    """
    if given["resourceType"] != "DiagnosticReport" or _when(given) == _when(stored):
        return
    before, now = (dict(_split(one) for one in _typed(r, "PLAC")) for r in (stored, given))
    shared = before.keys() & now.keys()
    if shared and all(before[system] != now[system] for system in shared):
        text = "The report of this filler number and code is of another order"
        raise Refusal("AMBIGUOUS_ORDER", text, "OBR-3", "204")


def _split(token: str) -> tuple[str, str]:
    system, _, value = token.rpartition("|")
    return system, value


def _when(report: Json) -> object:
    return report.get("effectiveDateTime") or report.get("effectivePeriod")


def clashes(given: Json, stored: Json) -> bool:
    """Whether the demographics of a message are those of somebody else."""
    born, said = stored.get("birthDate", ""), given.get("birthDate", "")
    length = min(len(born), len(said))
    sexes = {stored.get("gender"), given.get("gender")} & {"male", "female"}
    names, others = _families(stored), _families(given)
    return (
        born[:length] != said[:length]
        or len(sexes) > 1
        or bool(names and others and names.isdisjoint(others))
    )


def _families(patient: Json) -> set[str]:
    return {name["family"].casefold() for name in patient.get("name", ()) if name.get("family")}
