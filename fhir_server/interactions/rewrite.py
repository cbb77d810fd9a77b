"""References between the entries of a transaction, turned into literal ones.

What may be replaced is chosen by element type, never by text: a string that
happens to equal an entry's fullUrl stays as it is.

https://hl7.org/fhir/R4/http.html#trules
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.errors import BadRequest
from fhir_server.interactions.draft import Draft
from fhir_server.r4 import json
from fhir_server.r4.definitions import Definitions
from fhir_server.r4.walk import uris

_RESTFUL = re.compile(r"(https?://.+/)[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}\Z")
_UUID = re.compile(r"urn:uuid:[0-9a-fA-F-]{36}\Z")


@dataclass(frozen=True, slots=True)
class Known:
    """A transaction's fullUrls and conditional references, and the literals they stand for.

    `only_uuids`: every fullUrl is a `urn:uuid:`, as nearly always. `complete`: a urn
    that is not among them leads nowhere.
    """

    literals: Mapping[str, str]
    only_uuids: bool
    complete: bool


def known_literals(
    full_urls: Mapping[str, str], conditional: Mapping[str, str], *, complete: bool
) -> Known:
    """Return both together."""
    only_uuids = all(url.startswith("urn:uuid:") for url in full_urls)
    return Known({**full_urls, **conditional}, only_uuids, complete)


@contextmanager
def rewritten(
    definitions: Definitions, draft: Draft, known: Known, full_url: str | None
) -> Iterator[Draft]:
    """Lend the draft with each fullUrl replaced by its literal reference.

    A relative reference is first looked for beside the entry's own `full_url`.

    `draft.data` is changed in place, `draft.raw` made where it is empty.
    Afterwards `data` is as it was given: a transaction that is tried again has other ids.
    BadRequest when a urn in a Reference matches no entry.
    """
    given: list[tuple[Any, Any, str]] = []
    try:
        yield _replaced(definitions, draft, known, _base(full_url), given)
    finally:
        for holder, key, value in given:
            holder[key] = value


def _replaced(
    definitions: Definitions,
    draft: Draft,
    known: Known,
    base: str,
    given: list[tuple[Any, Any, str]],
) -> Draft:
    used: dict[str, str] = {}
    uuids = 0
    for path, holder in draft.references:
        value = holder["reference"]
        new = _replacement(value, known.literals, base)
        if new is not None:
            given.append((holder, "reference", value))
            holder["reference"] = used[value] = new
            uuids += value.startswith("urn:uuid:")
        elif known.complete and value.startswith(("urn:uuid:", "urn:oid:")):
            raise BadRequest(
                "No entry has this fullUrl", code="value", expression=f"{path}.reference"
            )
    if known.literals and not _only_references(draft.raw, uuids, known):
        for _, place, key in uris(definitions, draft.type_name, draft.data):
            value = place[key]
            new = _replacement(value, known.literals, "")
            if new is not None:
                given.append((place, key, value))
                place[key] = used[value] = new
    if not given and draft.raw:
        return draft
    return replace(draft, raw=_same_in_text(draft.raw, used, len(given)) or json.encode(draft.data))


def _only_references(raw: bytes, replaced: int, known: Known) -> bool:
    """Whether the text shows that no uri element holds a fullUrl, so that none is looked for."""
    return bool(raw) and known.only_uuids and raw.count(b"urn:uuid:") == replaced


def _base(full_url: str | None) -> str:
    """Return the base of a RESTful fullUrl with its slash, empty for any other."""
    match = _RESTFUL.match(full_url) if full_url else None
    return match[1] if match else ""


def _replacement(value: str, known: Mapping[str, str], base: str) -> str | None:
    exact = known.get(base + value) if base and ":" not in value else None
    exact = exact or known.get(value)
    if exact is not None:
        return exact
    before, hash_, after = value.partition("#")
    whole = known.get(before) if hash_ else None
    return f"{whole}#{after}" if whole else None


def _same_in_text(raw: bytes, used: Mapping[str, str], expected: int) -> bytes | None:
    """Return `raw` with the texts in `used` replaced, where exactly the right ones are there.

    Number literals stay as written this way. None when the text holds another
    count of them than there are places by element type.
    """
    count = 0
    for old, new in used.items():
        old_text, new_text = json.encode(old), json.encode(new)
        if _UUID.match(old):  # of one length, so none begins another: also inside a narrative
            old_text, new_text = old.encode(), new.encode()
        count += raw.count(old_text)
        raw = raw.replace(old_text, new_text)
    return raw if count == expected else None
