"""PID-18 as Account, with those who guarantee it.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-pid-to-account.html
"""

from collections.abc import Sequence

from adapters.hl7.mapping.context import Context, Json, put
from adapters.hl7.mapping.datatypes import hd
from adapters.hl7.mapping.segments.pid import who
from adapters.hl7.message.tokenizer import Segment


def account(
    ctx: Context, pid: Segment, patient: str, guarantors: Sequence[Json] = ()
) -> str | None:
    """Return a reference to the Account of PID-18, which is created where it is missing.

    With guarantors it is updated; they are told even where the message names no account.
    """
    rep = pid.first(18)
    identifier = hd.cx(ctx, rep, "Account.identifier", "account") if rep else None
    if identifier is None and not guarantors:
        return None
    resource: Json = {
        "resourceType": "Account",
        "status": "active",
        "subject": [{"reference": patient}],
    }
    put(resource, "guarantor", list(guarantors))
    if identifier is None:
        return ctx.put_keyed(ctx.key("Account", who(ctx, patient)), resource)
    resource["identifier"] = [identifier]
    return ctx.write("PUT" if guarantors else "POST", (hd.token(identifier),), resource)
