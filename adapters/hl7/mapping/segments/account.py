"""PID-18 as Account.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-pid-to-account.html
"""

from adapters.hl7.mapping.context import Context, Json
from adapters.hl7.mapping.datatypes import hd
from adapters.hl7.message.tokenizer import Segment


def account(ctx: Context, pid: Segment, patient: str) -> str | None:
    """Return a reference to the Account of PID-18, which is created where it is missing."""
    rep = pid.first(18)
    identifier = hd.cx(ctx, rep, "Account.identifier", "account") if rep else None
    if identifier is None:
        return None
    resource: Json = {
        "resourceType": "Account",
        "identifier": [identifier],
        "status": "active",
        "subject": [{"reference": patient}],
    }
    return ctx.write("POST", (hd.token(identifier),), resource)
