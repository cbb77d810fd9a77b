"""Two resources made one: what the survivor takes over, and what is left of the retired.

Pure, on resources as JSON. https://hl7.org/fhir/R4/patient.html#links
"""

from collections.abc import Collection, Sequence
from typing import Any, Final

from adapters.hl7.inbox.reconcile import filled, same

Json = dict[str, Any]

REPLACES: Final = "replaces"
REPLACED_BY: Final = "replaced-by"
SEE_ALSO: Final = "seealso"
# R4 links Patients alone: an Account or Encounter that was joined to another says so by its
# status, and its numbers are the other's.
_RETIRED_STATUS: Final = {"Account": "inactive", "Encounter": "entered-in-error"}
# What belongs to a resource itself and is not taken over with its content.
_OWN: Final = frozenset(
    ("resourceType", "id", "meta", "text", "identifier", "status", "active", "link")
)


def token(identifier: Json) -> tuple[str, str]:
    """Return what makes an identifier the same as another."""
    return str(identifier.get("system", "")), str(identifier.get("value", ""))


def owners(found: Sequence[Json], tokens: Collection[tuple[str, str]]) -> list[Json]:
    """Return those whose own one of the identifiers is, else those who took it over."""
    own = [
        one
        for one in found
        if any(
            token(each) in tokens and each.get("use") != "old" for each in one.get("identifier", ())
        )
    ]
    return own or list(found)


def replacement(patient: Json) -> str:
    """Return the reference of the Patient by whom this one was replaced, "" where it was not."""
    for link in patient.get("link", ()):
        if link.get("type") == REPLACED_BY:
            return str(link.get("other", {}).get("reference", ""))
    return ""


def inheriting(survivor: Json, retired: Json) -> Json:
    """Return the survivor with what is told of the retired alone, numbers and status apart."""
    return filled(survivor, {name: said for name, said in retired.items() if name not in _OWN})


def disinherited(survivor: Json, before: Json, retired: Json) -> Json:
    """Return the survivor without what it had not before and has of the retired alone."""
    return {
        name: said
        for name, said in survivor.items()
        if name in before or name in _OWN or not same(said, retired.get(name))
    }


def surviving(survivor: Json, retired: Json, said: Json, at: str) -> Json:
    """Return the Patient who takes over the identifiers, and names that the message calls old.

    Its own demographics stay; `at` is when the old identifiers ended.
    """
    joined = with_old_identifiers(survivor, retired, at)
    joined = with_old_identifiers(joined, said, at)
    names = list(joined.get("name", ()))
    names += [one for one in said.get("name", ()) if one not in names]
    if names:
        joined["name"] = names
    return linked(joined, f"Patient/{retired['id']}", REPLACES)


def replaced(retired: Json, survivor: str) -> Json:
    """Return the Patient who is no longer active, with the reference of the survivor."""
    return linked({**retired, "active": False}, survivor, REPLACED_BY)


def absorbing(survivor: Json, retired: Json, at: str) -> Json:
    """Return the Account or Encounter with the numbers of the retired, and what it has not said."""
    return inheriting(with_old_identifiers(survivor, retired, at), retired)


def absorbed(retired: Json) -> Json:
    """Return the Account or Encounter whose numbers are another's now."""
    left = {name: value for name, value in retired.items() if name != "identifier"}
    return {**left, "status": _RETIRED_STATUS[retired["resourceType"]]}


def with_old_identifiers(survivor: Json, retired: Json, at: str) -> Json:
    """Return the resource with the identifiers of another, which are old ones of it."""
    identifiers = list(survivor.get("identifier", ()))
    known = {token(one) for one in identifiers}
    for one in retired.get("identifier", ()):
        if token(one) not in known:
            known.add(token(one))
            period = {"end": at, **one.get("period", {})}
            identifiers.append({**one, "use": "old", "period": period})
    return {**survivor, "identifier": identifiers} if identifiers else dict(survivor)


def ended(survivor: Json, tokens: Collection[tuple[str, str]], at: str) -> Json:
    """Return the resource with its identifiers among the tokens marked as old ones."""
    identifiers = [
        {**one, "use": "old", "period": {"end": at, **one.get("period", {})}}
        if token(one) in tokens and one.get("use") != "old"
        else one
        for one in survivor.get("identifier", ())
    ]
    return {**survivor, "identifier": identifiers}


def moved(giver: Json, taker: Json, tokens: Collection[tuple[str, str]]) -> tuple[Json, Json]:
    """Return both Patients after the identifiers among the tokens went from one to the other."""
    going = [one for one in giver.get("identifier", ()) if token(one) in tokens]
    known = {token(one) for one in taker.get("identifier", ())}
    left = [one for one in giver.get("identifier", ()) if one not in going]
    gaining = [*taker.get("identifier", ()), *(one for one in going if token(one) not in known)]
    return _with(giver, "identifier", left), _with(taker, "identifier", gaining)


def linked(patient: Json, other: str, kind: str) -> Json:
    """Return the Patient with a link, once."""
    links = [one for one in patient.get("link", ()) if not _is_link(one, other, kind)]
    return {**patient, "link": [*links, {"other": {"reference": other}, "type": kind}]}


def unlinked(patient: Json, other: str, kind: str) -> Json:
    """Return the Patient without that link."""
    links = [one for one in patient.get("link", ()) if not _is_link(one, other, kind)]
    return _with(patient, "link", links)


def _is_link(link: Json, other: str, kind: str) -> bool:
    return link.get("type") == kind and link.get("other", {}).get("reference") == other


def _with(resource: Json, name: str, values: Sequence[Any]) -> Json:
    changed = {key: value for key, value in resource.items() if key != name}
    if values:
        changed[name] = list(values)
    return changed
