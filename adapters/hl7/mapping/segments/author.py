"""MSH as the author of what a message says.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-msh-to-messageheader.html
"""

from adapters.hl7.mapping.context import Context, Json, put
from adapters.hl7.mapping.datatypes import hd
from adapters.hl7.mapping.datatypes.dtm import date_time

_RESPONSIBLE = 22
_FACILITY = 4


def author(ctx: Context) -> Json:
    """Return what the Provenance of the message takes from MSH: MSH-7, and MSH-22 or MSH-4."""
    found: Json = {}
    sent = ctx.message.header.first(7)
    if sent is not None:
        put(found, "occurred", date_time(ctx, sent, 1, "Provenance.occurredDateTime"))
    if (who := _responsible(ctx) or _facility(ctx)) is not None:
        found["author"] = [who]
    return found


def _responsible(ctx: Context) -> Json | None:
    rep = ctx.message.header.first(_RESPONSIBLE)
    if rep is None:
        return None
    who: Json = {"type": "Organization"}
    path = "Provenance.agent.who"
    if value := rep.take(10 if rep.peek(10) else 3, f"{path}.identifier"):
        system = hd.authority(ctx, rep, 6, "organization", f"{path}.identifier")
        who["identifier"] = {"system": system, "value": value}
    put(who, "display", rep.take(1, f"{path}.display"))
    return who if len(who) > 1 else None


def _facility(ctx: Context) -> Json | None:
    rep = ctx.message.header.first(_FACILITY)
    if rep is None:
        return None
    path = "Provenance.agent.who"
    who: Json = {"type": "Organization"}
    universal = hd.universal_uri(rep.peek(2), rep.peek(3))
    if universal:
        for component in (2, 3):
            rep.mark(component, f"{path}.identifier")
        who["identifier"] = {"system": "urn:ietf:rfc:3986", "value": universal}
    put(who, "display", rep.take(1, f"{path}.display"))
    return who if len(who) > 1 else None
