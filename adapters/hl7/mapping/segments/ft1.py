"""FT1 as ChargeItem (the guide has no map of it).

HL7 v2.9 chapter 6, section 6.5.1.
"""

import re
from typing import Final

from adapters.hl7.mapping.context import Context, Json, Link, add, put
from adapters.hl7.mapping.datatypes import cwe, dtm, hd, nm
from adapters.hl7.mapping.datatypes.period import period
from adapters.hl7.mapping.segments import practitioner
from adapters.hl7.mapping.segments.order import UNSPECIFIED
from adapters.hl7.mapping.segments.pid import who
from adapters.hl7.message.accounting import CONDITION_FALSE, INVALID_VALUE
from adapters.hl7.message.tokenizer import Repetition, Segment

CHARGE: Final = "CG"  # 0017; credits, adjustments and payments are no charges
_CURRENCY: Final = re.compile(r"[A-Z]{3}\Z")


def charge_item(
    ctx: Context, ft1: Segment, patient: str, account: str | None, encounter: str = ""
) -> str | None:
    """Return a reference to the ChargeItem, None where the transaction is no charge.

    It is found again by FT1-2, else by patient, code, time and its place among equals.
    """
    if ft1.peek(6) != CHARGE:
        for number in range(2, len(ft1.fields)):
            ft1.refuse(number, CONDITION_FALSE)
        return None
    path = "ChargeItem"
    resource: Json = {"resourceType": path, "status": "billable"}
    ft1.take(6, f"{path}.status")
    # FT1-25 is the procedure; FT1-7 the charge's own code, beside it if both are there.
    procedure = cwe.first_concept(ctx, ft1, 25, f"{path}.code", table="0088")
    charged = cwe.first_concept(ctx, ft1, 7, f"{path}.code", table="0132")
    resource["code"] = _both(procedure, charged) or {"text": UNSPECIFIED}
    resource["subject"] = {"reference": patient}
    if encounter:
        resource["context"] = {"reference": encounter}
    _occurrence(ctx, ft1, resource)
    _people(ctx, ft1, resource)
    _amounts(ft1, resource)
    put(resource, "reason", cwe.concepts(ctx, ft1, 19, f"{path}.reason", table="0051"))
    if account:
        resource["account"] = [{"reference": account}]
    _description(ft1, resource)
    _order(ctx, ft1, resource)
    return _written(ctx, ft1, resource, patient)


def _both(procedure: Json | None, charged: Json | None) -> Json | None:
    if not procedure or not charged:
        return procedure or charged
    codings = [*procedure.get("coding", ()), *charged.get("coding", ())]
    unique = [one for index, one in enumerate(codings) if one not in codings[:index]]
    return {**charged, **procedure, "coding": unique} if unique else procedure


def _occurrence(ctx: Context, ft1: Segment, resource: Json) -> None:
    """FT1-4, a DR since version 2.6; FT1-5 when it was posted."""
    rep = ft1.first(4)
    if rep is not None:
        path = "ChargeItem.occurrence"
        when = period(ctx, (rep, 1), (rep, 2), path)
        if "end" in when:
            resource["occurrencePeriod"] = when
        else:
            put(resource, "occurrenceDateTime", when.get("start"))
    dtm.put_date_time(ctx, resource, "enteredDate", ft1, 5)


def _people(ctx: Context, ft1: Segment, resource: Json) -> None:
    for rep in ft1.repetitions(20):
        if person := practitioner.practitioner(ctx, rep, resource):
            add(resource, "performer", {"actor": {"reference": person}})
    department = ft1.first(13)
    if department is not None and (place := practitioner.producer(ctx, department)):
        resource["performingOrganization"] = {"reference": place}
    for rep in ft1.repetitions(21)[:1]:
        if person := practitioner.practitioner(ctx, rep, resource):
            resource["enterer"] = {"reference": person}


def _amounts(ft1: Segment, resource: Json) -> None:
    quantity = nm.number(ft1.peek(10))
    if quantity is not None and not quantity.comparator:
        ft1.take(10, "ChargeItem.quantity")
        resource["quantity"] = {"value": quantity.value}
    elif ft1.valued(10):
        ft1.refuse(10, INVALID_VALUE)
    for number in (22, 11):
        rep = ft1.first(number)
        if rep is not None and (price := _money(rep)):
            resource["priceOverride"] = price
            break


def _money(rep: Repetition) -> Json | None:
    """Return the Money of a CP, of which the price is a MO."""
    number = nm.number(rep.peek(1))
    if number is None or number.comparator:
        rep.refuse(1, INVALID_VALUE)
        return None
    path = "ChargeItem.priceOverride"
    rep.mark(1, f"{path}.value")
    found: Json = {"value": number.value}
    currency = rep.peek(1, 2)
    if _CURRENCY.match(currency):
        rep.mark(1, f"{path}.currency", 2)
        found["currency"] = currency
    return found


def _description(ft1: Segment, resource: Json) -> None:
    for number in (8, 9):
        if text := ft1.take(number, "ChargeItem.note.text"):
            add(resource, "note", {"text": text})


def _order(ctx: Context, ft1: Segment, resource: Json) -> None:
    """FT1-23: the order for which is charged, which R4 does not take as `service`."""
    rep = ft1.first(23)
    path = "ChargeItem.supportingInformation.identifier"
    if rep is not None and (number := hd.ei(ctx, rep, path, "filler")):
        typed = {"type": hd.fixed_type("FILL"), **number}
        resource["supportingInformation"] = [{"type": "ServiceRequest", "identifier": typed}]


def _written(ctx: Context, ft1: Segment, resource: Json, patient: str) -> str:
    rep = ft1.first(2)
    # A CX since version 2.9, a ST before: the number is the first component of both.
    number = hd.cx(ctx, rep, "ChargeItem.identifier", "transaction") if rep is not None else None
    if number is not None:
        resource["identifier"] = [number]
        reference = ctx.write("PUT", (hd.token(number),), resource)
    else:
        parts = (who(ctx, patient), ft1.raw(25) or ft1.raw(7), ft1.raw(4))
        key = ctx.key("ChargeItem", *parts)
        nth = ctx.once.get(("ChargeItem", key), 0) + 1
        ctx.once[("ChargeItem", key)] = nth
        reference = ctx.put_keyed(
            key if nth == 1 else ctx.key("ChargeItem", key, str(nth)), resource
        )
    for asked in resource.get("supportingInformation", ()):
        token = (hd.token(asked["identifier"]),)
        ctx.links.append(Link(reference, "supportingInformation", "ServiceRequest", token))
    return reference
