"""References between the entries of a transaction, turned into literal ones.

What may be replaced is chosen by element type, never by text: a string that
happens to equal an entry's fullUrl stays as it is.

https://hl7.org/fhir/R4/http.html#trules
"""

import re
from collections.abc import Mapping
from typing import Any

from fhir_server.errors import BadRequest
from fhir_server.r4 import json
from fhir_server.r4.definitions import Definitions
from fhir_server.r4.walk import references, uris

_UUID = re.compile(r"urn:uuid:[0-9a-fA-F-]{36}\Z")


def rewritten(
    definitions: Definitions,
    type_name: str,
    data: dict[str, Any],
    raw: bytes | None,
    known: Mapping[str, str],
) -> bytes | None:
    """Replace each fullUrl in `data` by its literal reference; return the new text.

    `known` maps a fullUrl, or the text of a conditional reference, to `Type/id`.
    Returns `raw` where nothing was replaced (None when there was no text).
    BadRequest when a urn in a Reference matches no entry.
    """
    used: dict[str, str] = {}
    replaced = 0
    for path, holder in references(definitions, type_name, data):
        value = holder["reference"]
        new = _replacement(value, known)
        if new is not None:
            holder["reference"] = used[value] = new
            replaced += 1
        elif value.startswith(("urn:uuid:", "urn:oid:")):
            raise BadRequest(
                "No entry has this fullUrl", code="value", expression=f"{path}.reference"
            )
    for _, place, key in uris(definitions, type_name, data):
        value = place[key]
        new = _replacement(value, known)
        if new is not None:
            place[key] = used[value] = new
            replaced += 1
    if not replaced:
        return raw
    return _same_in_text(raw, used, replaced) or json.encode(data)


def _replacement(value: str, known: Mapping[str, str]) -> str | None:
    exact = known.get(value)
    if exact is not None:
        return exact
    before, hash_, after = value.partition("#")
    base = known.get(before) if hash_ else None
    return f"{base}#{after}" if base else None


def _same_in_text(raw: bytes | None, used: Mapping[str, str], expected: int) -> bytes | None:
    """Return `raw` with the texts in `used` replaced, where exactly the right ones are there.

    Number literals stay as written this way. None when the text holds another
    count of them than there are places by element type.
    """
    if raw is None:
        return None
    count = 0
    for old, new in used.items():
        old_text, new_text = json.encode(old), json.encode(new)
        if _UUID.match(old):  # of one length, so none begins another: also inside a narrative
            old_text, new_text = old.encode(), new.encode()
        count += raw.count(old_text)
        raw = raw.replace(old_text, new_text)
    return raw if count == expected else None
