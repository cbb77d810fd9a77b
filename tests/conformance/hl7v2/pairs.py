"""Public messages with the FHIR Bundles that another converter made of them.

What both say is compared as facts: an element of a type of resource, and its value.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from adapters.hl7.mapping.context import Profile, Refusal
from adapters.hl7.mapping.message_bundle import message_bundle
from adapters.hl7.mapping.transform import Mapped, transform
from adapters.hl7.message.charsets import decode
from adapters.hl7.message.files import messages
from adapters.hl7.message.tokenizer import Message, parse

Json = dict[str, Any]
Fact = tuple[str, str]

FOLDER: Final = "data/hl7v2/reportstream"
_OWN: Final = re.compile(r"reportstream\.cdc\.gov|ibm\.com/fhir|alvearie")
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)\Z")
_TYPE: Final = re.compile(r"([A-Z][A-Za-z]+)/")
# Not content: ids are made anew, versions and texts are the converter's.
_SKIPPED: Final = frozenset(("id", "meta", "text", "fullUrl", "resourceType", "contained"))
# What several resources refer to: one here, there often one for each.
_SHARED: Final = frozenset(
    (
        *("Organization", "Practitioner", "PractitionerRole", "Location", "Device", "Provenance"),
        *("MessageHeader", "EpisodeOfCare"),
    )
)


@dataclass(frozen=True, slots=True)
class Pair:
    """A message, and the resources of the Bundle beside it."""

    name: str
    message: Message
    theirs: tuple[Json, ...]


def pairs(shared: Path) -> Iterator[Pair]:
    """Yield all pairs, in the order of their names."""
    folder = shared / FOLDER
    for file in sorted(folder.rglob("*.hl7")):
        (raw, *_) = messages(file.read_bytes())
        decoded = decode(raw, fallback="cp1252")
        # Some of their Bundles have a member twice, which our own reader refuses.
        bundle = json.loads(file.with_suffix(".fhir").read_bytes(), parse_float=Decimal)
        theirs = tuple(entry["resource"] for entry in bundle.get("entry", ()))
        name = str(file.relative_to(folder).with_suffix(""))
        message = parse(decoded.text, decoded.codec)
        _identify(message)
        yield Pair(name, message, theirs)


def _identify(message: Message) -> None:
    """Give a patient without a number one, as nobody is made of nothing."""
    for pid in message.named("PID"):
        if not pid.peek(3):
            pid.fields += [""] * (4 - len(pid.fields))
            pid.fields[3] = "TEST"


def profile() -> Profile:
    """Return the agreement under which the messages are read."""
    return Profile("http://h/fhir", "PUBLIC", UTC)


def ours(message: Message) -> tuple[Mapped | None, list[Json]]:
    """Return what the message becomes here, None if it is refused, with its message Bundle."""
    try:
        mapped = transform(message, profile())
    except Refusal:
        return None, []
    bundle = message_bundle(message, profile(), mapped)
    return mapped, [entry["resource"] for entry in bundle["entry"]]


def facts(resources: list[Json] | tuple[Json, ...]) -> Counter[Fact]:
    """Return what resources say: each value under its type and element; extensions of URL."""
    types = {f"{r['resourceType']}/{r.get('id', '')}": r["resourceType"] for r in resources}
    found: Counter[Fact] = Counter()
    for resource in resources:
        for one in (resource, *resource.get("contained", ())):
            found.update(_below(one["resourceType"], one, types))
    return Counter({f: 1 if f[0].split(".")[0] in _SHARED else n for f, n in found.items()})


def _below(path: str, node: Any, types: dict[str, str]) -> Iterator[Fact]:
    if isinstance(node, list):
        for item in node:
            yield from _below(path, item, types)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name in {"extension", "modifierExtension"}:
                for one in value:
                    yield from _extension(path, one, types)
            elif name not in _SKIPPED and name != "reference":
                yield from _below(f"{path}.{name.removeprefix('_')}", value, types)
    elif node is not None:
        yield path, _written(node)


def _extension(path: str, node: Json, types: dict[str, str]) -> Iterator[Fact]:
    url = str(node.get("url", ""))
    if not _OWN.search(url):
        rest = {name: value for name, value in node.items() if name != "url"}
        yield from _below(f"{path}.extension({url.rsplit('/', 1)[-1]})", rest, types)


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    if _INSTANT.match(text):
        return datetime.fromisoformat(text).astimezone(UTC).isoformat()
    return text.strip()
