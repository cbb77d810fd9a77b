"""ORC, RXA and RXR as Immunization.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-orc-to-immunization.html
https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-rxa-to-immunization.html
"""

from typing import Final

from adapters.hl7.mapping.code_tables import EXTENSION, THO
from adapters.hl7.mapping.context import Context, Json, add, put
from adapters.hl7.mapping.datatypes import cwe, dtm, hd
from adapters.hl7.mapping.datatypes.cq import of_fields
from adapters.hl7.mapping.datatypes.xad import xad
from adapters.hl7.mapping.segments import nte, orderer, practitioner, route
from adapters.hl7.mapping.segments.location import location
from adapters.hl7.mapping.segments.order import UNSPECIFIED, Order, group_numbers
from adapters.hl7.mapping.segments.pid import who
from adapters.hl7.message.accounting import CONDITION_FALSE, INVALID_VALUE
from adapters.hl7.message.grouping import OrderGroup
from adapters.hl7.message.tokenizer import Segment

_COMPLETION: Final = {  # 0322
    "CP": "completed",
    "PA": "completed",
    "RE": "not-done",
    "NA": "not-done",
}
_UNKNOWN_DOSE: Final = "999"
_HISTORY: Final = "NIP001"
_GIVEN: Final = "00"
_NO_NUMBER: Final = "9999"  # what registries send for a vaccine that was not given
_ABSENT: Final[Json] = {
    "extension": [{"url": EXTENSION + "data-absent-reason", "valueCode": "unknown"}]
}


def described(ctx: Context, asked: Order, group: OrderGroup, patient: str) -> Json:
    """Return the Immunization of an order with a RXA."""
    rxa = group.named("RXA")[0]
    path = "Immunization"
    resource: Json = {"resourceType": path}
    groups = group_numbers(ctx, asked.orc, f"{path}.identifier")
    put(resource, "identifier", [*asked.placers, *asked.fillers, *groups])
    _status(rxa, resource)
    put(resource, "statusReason", cwe.first_concept(ctx, rxa, 18, f"{path}.statusReason"))
    code = cwe.first_concept(ctx, rxa, 5, f"{path}.vaccineCode", table="0292")
    resource["vaccineCode"] = code or {"text": UNSPECIFIED}
    resource["patient"] = {"reference": patient}
    dtm.put_date_time(ctx, resource, "occurrenceDateTime", rxa, 3)
    if "occurrenceDateTime" not in resource:
        resource["_occurrenceDateTime"] = _ABSENT
    _recorded(ctx, asked.orc, rxa, resource)
    _product(ctx, rxa, resource)
    for rxr in group.named("RXR")[:1]:
        route.put_route(ctx, rxr, resource, path)
    _performers(ctx, asked.orc, rxa, resource)
    put(resource, "reasonCode", cwe.concepts(ctx, rxa, 19, f"{path}.reasonCode"))
    if asked.orc.raw(28):
        orderer.put_security(ctx, asked.orc, 28, resource)
    _source(ctx, rxa, resource)
    put(resource, "note", nte.annotations(ctx, asked.notes, resource, f"{path}.note"))
    return resource


def key(ctx: Context, asked: Order, rxa: Segment, patient: str) -> str:
    """Return the key under which a later message finds the Immunization.

    The filler's number, else the placer's, of this patient; one that several vaccines
    share counts with the vaccine. Without a number it is patient, vaccine and time.
    """
    numbers = [one for one in (*asked.fillers, *asked.placers) if one["value"] != _NO_NUMBER]
    vaccine = rxa.peek(5)
    if not numbers:
        return ctx.key("Immunization", who(ctx, patient), vaccine, rxa.raw(3))
    found = ctx.key("Immunization", who(ctx, patient), hd.token(numbers[0]))
    if ctx.once.setdefault(("Immunization", found), rxa.index) == rxa.index:
        return found
    return ctx.key("Immunization", found, vaccine)


def _status(rxa: Segment, resource: Json) -> None:
    code, action = rxa.peek(20), rxa.peek(21)
    resource["status"] = _COMPLETION.get(code, "completed")
    if code in _COMPLETION:
        rxa.take(20, "Immunization.status")
        resource["_status"] = cwe.alternate("0322", code)
    elif code:
        rxa.refuse(20, INVALID_VALUE)
    if action == "D":
        rxa.take(21, "Immunization.status")
        resource["status"] = "entered-in-error"


def _source(ctx: Context, rxa: Segment, resource: Json) -> None:
    """RXA-9 of table NIP001: 00 was given by the sender, others are told by somebody else."""
    for rep in rxa.repetitions(9):
        code = rep.peek(1)
        if rep.peek(3) != _HISTORY or "primarySource" in resource:
            continue
        resource["primarySource"] = code == _GIVEN
        if code == _GIVEN:
            for component in (1, 2, 3):
                rep.mark(component, "Immunization.primarySource")
        else:
            put(resource, "reportOrigin", cwe.concept(ctx, rep, "Immunization.reportOrigin"))


def _recorded(ctx: Context, orc: Segment, rxa: Segment, resource: Json) -> None:
    """ORC-9, else RXA-22 where RXA-21 says that it was added."""
    dtm.put_date_time(ctx, resource, "recorded", orc, 9)
    if "recorded" not in resource and rxa.peek(21) == "A":
        dtm.put_date_time(ctx, resource, "recorded", rxa, 22)
        if "recorded" in resource:
            rxa.take(21, "Immunization.recorded")
    elif rxa.valued(22):
        rxa.refuse(22, CONDITION_FALSE)


def _product(ctx: Context, rxa: Segment, resource: Json) -> None:
    if rxa.peek(6) == _UNKNOWN_DOSE:
        rxa.refuse(6, CONDITION_FALSE)
        rxa.refuse(7, CONDITION_FALSE)
    elif rxa.valued(6):
        put(resource, "doseQuantity", of_fields(rxa, 6, 7, "Immunization.doseQuantity"))
    if lot := rxa.take(15, "Immunization.lotNumber"):
        resource["lotNumber"] = lot
    dtm.put_date(ctx, resource, "expirationDate", rxa, 16)
    maker = rxa.first(17)
    if maker is not None and (reference := practitioner.producer(ctx, maker)):
        resource["manufacturer"] = {"reference": reference}
    place = rxa.first(27)
    if place is not None and (where := location(ctx, place)):
        resource["location"] = where
        _addressed(ctx, rxa, where["reference"])


def _addressed(ctx: Context, rxa: Segment, reference: str) -> None:
    """RXA-28 is the address of RXA-27, where this message writes that and no other has one."""
    written = ctx.writes.get(reference)
    rep = rxa.first(28)
    if written is None or rep is None or "address" in written.resource:
        return
    put(written.resource, "address", xad(ctx, rep, "Location.address"))


def _performers(ctx: Context, orc: Segment, rxa: Segment, resource: Json) -> None:
    """ORC-12 ordered it (OP), RXA-10 gave it (AP)."""
    if orc.valued(12) and (ordered := orderer.requester(ctx, orc, None, resource)):
        add(resource, "performer", _performer("OP", ordered))
    for rep in rxa.repetitions(10):
        if person := practitioner.practitioner(ctx, rep, resource):
            add(resource, "performer", _performer("AP", person))


def _performer(code: str, reference: str) -> Json:
    function = {"coding": [{"system": THO + "v2-0443", "code": code}]}
    return {"function": function, "actor": {"reference": reference}}
