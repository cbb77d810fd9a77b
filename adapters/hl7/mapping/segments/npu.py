"""NPU as the state of a Location.

HL7 v2.9 chapter 3, section 3.4.9; the v2-to-FHIR guide has no map of it.
"""

from adapters.hl7.mapping.context import Context
from adapters.hl7.mapping.segments.location import location
from adapters.hl7.message.tokenizer import Segment


def bed(ctx: Context, npu: Segment) -> None:
    """Add the Location of NPU-1 with the state of NPU-2."""
    if rep := npu.first(1):
        location(ctx, rep, (npu, 2))
