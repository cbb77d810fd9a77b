"""The answers to orders: ORR and ORL instead of ACK.

HL7 v2.9 chapter 4, section 4.4; table 0119.
"""

from collections.abc import Mapping
from typing import Final

from adapters.hl7.acknowledgement.ack import Header, Response
from adapters.hl7.message.tokenizer import Message, Segment

_KINDS: Final[Mapping[tuple[str, str], tuple[str, str, str]]] = {
    ("ORM", "O01"): ("ORR", "O02", "ORR_O02"),
    ("OML", "O21"): ("ORL", "O22", "ORL_O22"),
    ("OML", "O33"): ("ORL", "O34", "ORL_O34"),
    ("OML", "O35"): ("ORL", "O36", "ORL_O36"),
}
# ORC-1 when the order was carried out, and when it was not. A request to cancel is only
# noted (docs/hl7-mapping.md), so nobody is told yet that it was done.
_ANSWERS: Final[Mapping[str, tuple[str, str]]] = {
    "NW": ("OK", "UA"),
    "CA": ("", "UC"),
    "DC": ("DR", "UD"),
    "HD": ("HR", "UH"),
    "RL": ("OE", "UR"),
    "RP": ("RQ", "UM"),
    "XO": ("XR", "UX"),
}
_ORC_KEPT: Final = 4  # the numbers of placer, filler and group follow ORC-1


def response_form(header: Header) -> Response | None:
    """Return the form of the answer to an order, None for what ACK answers."""
    kind = _KINDS.get((header.type, header.event))
    return Response(kind) if kind else None


def with_outcome(form: Response, message: Message, *, positive: bool) -> Response:
    """Return the form with what became of each order.

    Specimens and containers are told again in their order (ORL^O34, O36), orders by
    their numbers. Where one order has no answer, the whole is left out: it is optional.
    """
    echoed = ("SPM", "SAC") if form.kind[1] in {"O34", "O36"} else ()
    segments: list[str] = []
    for segment in message.segments:
        if segment.name == "ORC":
            answer = _ANSWERS.get(segment.peek(1), ("", ""))[0 if positive else 1]
            if not answer:
                return form
            segments.append(_again(segment, answer))
        elif segment.name in echoed:
            segments.append(message.delimiters.field.join(segment.fields))
    return Response(form.kind, tuple(segments))


def _again(orc: Segment, answer: str) -> str:
    fields = ["ORC", answer, *orc.fields[2 : _ORC_KEPT + 1]]
    return orc.message.delimiters.field.join(fields).rstrip(orc.message.delimiters.field)
