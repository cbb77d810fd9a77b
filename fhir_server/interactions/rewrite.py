"""References between the entries of a transaction, turned into literal ones.

What may be replaced is chosen by element type, never by text: a string that
happens to equal an entry's fullUrl stays as it is.

https://hl7.org/fhir/R4/http.html#trules
"""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from fhir_server.errors import BadRequest
from fhir_server.interactions.draft import Draft
from fhir_server.r4 import json
from fhir_server.r4.definitions import Definitions
from fhir_server.r4.walk import references, uris

_RESTFUL = re.compile(r"(https?://.+/)[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}\Z")
_UUID = re.compile(r"urn:uuid:[0-9a-fA-F-]{36}\Z")
_URN = ("urn:uuid:", "urn:oid:")


@dataclass(frozen=True, slots=True)
class Known:
    """A transaction's fullUrls and conditional references, and the literals they stand for.

    `only_uuids`: every fullUrl is a `urn:uuid:`, as nearly always. `complete`: a urn
    that is not among them leads nowhere. `beside` are the urns of a batch's entries, to
    which no other entry may refer.
    """

    literals: Mapping[str, str]
    only_uuids: bool
    complete: bool
    beside: Collection[str]


def known_literals(
    full_urls: Mapping[str, str],
    conditional: Mapping[str, str],
    *,
    complete: bool,
    beside: Collection[str] = (),
) -> Known:
    """Return both together."""
    only_uuids = not beside and all(url.startswith("urn:uuid:") for url in full_urls)
    return Known({**full_urls, **conditional}, only_uuids, complete, beside)


_Given: TypeAlias = list[tuple[Any, Any, str]]
"""What was replaced: holder, key, and the value that was there."""


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
    given: _Given = []
    try:
        yield _rewritten(definitions, draft, known, _base(full_url), given)
    finally:
        for holder, key, value in given:
            holder[key] = value


def _rewritten(
    definitions: Definitions, draft: Draft, known: Known, base: str, given: _Given
) -> Draft:
    used = _replace(definitions, draft, known, base, given)
    if not given and draft.raw:
        return draft
    if not draft.raw:
        return replace(draft, raw=json.encode(draft.data))
    raw = _same_in_text(draft.raw, used, len(given))
    return replace(draft, raw=raw or _from_the_start(definitions, draft, known, base))


def _replace(
    definitions: Definitions, draft: Draft, known: Known, base: str, given: _Given
) -> set[tuple[str, str]]:
    """Replace in `draft.data`; return which values became which."""
    used: set[tuple[str, str]] = set()
    uuids = 0
    for path, holder in draft.references:
        value = holder["reference"]
        new = _replacement(value, known.literals, base)
        if new is not None:
            given.append((holder, "reference", value))
            holder["reference"] = new
            used.add((value, new))
            uuids += value.startswith("urn:uuid:")
        elif known.complete and value.startswith(_URN):
            text = "No entry has this fullUrl"
            raise BadRequest(text, code="value", expression=f"{path}.reference")
    if (known.literals or known.beside) and not _only_references(draft.raw, uuids, known):
        for path, place, key in uris(definitions, draft.type_name, draft.data):
            value = place[key]
            new = _replacement(value, known.literals, "")
            if new is not None:
                given.append((place, key, value))
                place[key] = new
                used.add((value, new))
            elif known.beside and value.partition("#")[0] in known.beside:
                text = "An entry of a batch does not refer to another"
                raise BadRequest(text, code="value", expression=path)
    return used


def _from_the_start(definitions: Definitions, draft: Draft, known: Known, base: str) -> bytes:
    """Return the text of a second reading, in which all is replaced and numbers keep literals."""
    data = json.decode_keeping(draft.raw)
    places = list(references(definitions, draft.type_name, data))
    _replace(definitions, replace(draft, data=data, references=places), known, base, [])
    return json.encode(data)


def _only_references(raw: bytes, replaced: int, known: Known) -> bool:
    """Whether the text shows that no uri element holds a fullUrl, so that none is looked for."""
    plain = bool(raw) and known.only_uuids and not _hides(raw)
    return plain and raw.count(b"urn:uuid:") == replaced


def _hides(raw: bytes) -> bool:
    """Whether letters may be written as escapes, so that a search of the text may miss some."""
    return b"\\u" in raw or b"\\/" in raw


def _base(full_url: str | None) -> str:
    """Return the base of a RESTful fullUrl with its slash, empty for any other."""
    match = _RESTFUL.match(full_url) if full_url else None
    return match[1] if match else ""


def _replacement(value: str, known: Mapping[str, str], base: str) -> str | None:
    if base and ":" not in value:
        found = _entry(base + value, known)
        if found is not None:
            return found
    return _entry(value, known)


def _entry(value: str, known: Mapping[str, str]) -> str | None:
    exact = known.get(value)
    if exact is not None:
        return exact
    before, hash_, after = value.partition("#")
    whole = known.get(before) if hash_ else None
    return f"{whole}#{after}" if whole else None


def _same_in_text(raw: bytes, used: Collection[tuple[str, str]], expected: int) -> bytes | None:
    """Return `raw` with the texts in `used` replaced, where exactly the right ones are there.

    Number literals stay as written this way. None when the text does not show it: it
    holds another count of them than there are places by element type, or escapes, or
    one of them becomes two.
    """
    texts = {_in_text(old, old): _in_text(old, new) for old, new in used}
    if _hides(raw) or len(texts) < len(used):
        return None
    count = 0
    for old, new in texts.items():
        count += raw.count(old)
        raw = raw.replace(old, new)
    return raw if count == expected else None


def _in_text(old: str, text: str) -> bytes:
    """Return `text` as it stands in JSON; a UUID without quotes, as in a narrative too.

    UUIDs are of one length, so none begins another.
    """
    return text.encode() if _UUID.match(old) else json.encode(text)
