"""Patient.contact and RelatedPerson as NK1.

HL7 v2.9 chapter 3, section 3.3.5.
"""

from typing import Final

from adapters.hl7.mapping.code_tables import GENDER, RELATIONSHIP, THO
from adapters.hl7.outbound import datatypes as as_
from adapters.hl7.outbound.er7 import Field, Segment
from adapters.hl7.outbound.peer import Peer
from adapters.hl7.outbound.record import Json, Record

_KIN: Final = {code: own for own, (_, code) in reversed(RELATIONSHIP.items())}
_ROLE: Final = f"{THO}v2-0131"
_SEX: Final = {**as_.reverse(GENDER), "unknown": "U"}


def contact(number: int, one: Json, record: Record, peer: Peer) -> Segment:
    """Return NK1 of a contact of a Patient."""
    names = [one["name"]] if "name" in one else []
    places = [one["address"]] if "address" in one else []
    fields = _same(number, one, names, places, peer)
    if (organization := record.get(one.get("organization"))) is not None:
        fields[13] = as_.xon(peer, organization)
    return Segment("NK1", fields)


def related(number: int, person: Json, peer: Peer) -> Segment:
    """Return NK1 of a RelatedPerson."""
    fields = _same(number, person, person.get("name", []), person.get("address", []), peer)
    fields[16] = as_.moment(person.get("birthDate"))
    if spoken := person.get("communication", ()):
        fields[20] = as_.cwe(peer, spoken[0].get("language"))
    fields[33] = [as_.cx(peer, one) for one in as_.shown(peer, person)]
    return Segment("NK1", fields)


def _same(
    number: int, one: Json, names: list[Json], places: list[Json], peer: Peer
) -> dict[int, Field]:
    concepts = list(one.get("relationship", ()))
    roles = [each for each in concepts if _is_role(each)]
    kin = [each for each in concepts if each not in roles]
    points = one.get("telecom", ())
    work = [each for each in points if each.get("use") == "work"]
    period = one.get("period", {})
    return {
        1: str(number),
        2: [as_.xpn(each, peer) for each in names],
        3: relationship(kin[0], peer) if kin else "",
        4: [as_.xad(each, peer) for each in places],
        5: [as_.xtn(each, peer, "home") for each in points if each not in work],
        6: [as_.xtn(each, peer) for each in work],
        7: as_.cwe(peer, roles[0], "0131") if roles else "",
        8: as_.dated(period, "start", peer),
        9: as_.dated(period, "end", peer),
        15: as_.original(one, "gender", "0001", {**GENDER, "U": "unknown"})
        or _SEX.get(str(one.get("gender", "")), ""),
    }


def _is_role(concept: Json) -> bool:
    """Whether a relationship is of table 0131 alone: of 0063 some are translated to it."""
    systems = [one.get("system") for one in concept.get("coding", ())]
    return _ROLE in systems and f"{THO}v2-0063" not in systems


def relationship(concept: Json, peer: Peer) -> Field:
    """Return the code of table 0063 that was sent or that the role means, else the codings."""
    codings = concept.get("coding", ())
    own = [one for one in codings if one.get("system") == f"{THO}v2-0063"]
    if own:
        return as_.cwe(peer, {**concept, "coding": own}, "0063")
    known = next((_KIN[one["code"]] for one in codings if one.get("code") in _KIN), "")
    if known:
        told = {"system": f"{THO}v2-0063", "code": known}
        return as_.cwe(peer, {**concept, "coding": [told]}, "0063")
    return as_.cwe(peer, concept, "0063")
