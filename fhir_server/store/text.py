"""The stored text of a resource: what was sent, with the server's id and meta.

The text is kept in two halves around `meta.lastUpdated`, which is the time of
the database's transaction and therefore known only inside the write.

https://hl7.org/fhir/R4/resource.html#Meta
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

import msgspec

from fhir_server.r4.json import members

_SERVER_OWNED = frozenset(("versionId", "lastUpdated"))


@dataclass(frozen=True, slots=True)
class Content:
    """What a client says of a resource, in JSON: `meta` members and all others.

    Both are runs of `,"name":value` without id, resourceType and what the server
    owns of meta; `security` is the array of labels, if there are any.
    """

    meta: bytes
    rest: bytes
    security: bytes | None

    def digest(self) -> bytes:
        """Return 16 bytes that are equal exactly for equal content."""
        return blake2b(self.meta + b"\0" + self.rest, digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Text:
    """A resource's JSON before and after the value of `meta.lastUpdated`."""

    head: bytes
    tail: bytes

    def at(self, last_updated: datetime) -> bytes:
        """Return the whole text."""
        return self.head + instant(last_updated).encode() + self.tail


def instant(moment: datetime) -> str:
    """Return an R4 instant in UTC with milliseconds."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def content(raw: bytes) -> Content:
    """Split a resource's JSON text; numbers keep their literals, white space goes."""
    named = members(msgspec.json.format(raw, indent=-1))
    meta = members(bytes(named["meta"])) if "meta" in named else {}
    return Content(
        meta=_run(meta, _SERVER_OWNED),
        rest=_run(named, frozenset(("resourceType", "id", "meta"))),
        security=bytes(meta["security"]) if "security" in meta else None,
    )


def keeping_labels(sent: Content, labels: bytes | None) -> Content:
    """Return `sent` with the stored security labels, where it names none itself.

    A label must not vanish because a client does not know of it.
    """
    if labels is None or sent.security is not None:
        return sent
    return Content(sent.meta + b',"security":' + labels, sent.rest, labels)


def labelled(said: Content, labels: Sequence[bytes]) -> Content:
    """Return `said` with further security labels, each a Coding in JSON."""
    if not labels:
        return said
    own = said.security.strip()[1:-1] if said.security is not None else b""
    whole = b"[" + b",".join((*([own] if own else []), *labels)) + b"]"
    meta = members(b"{" + said.meta[1:] + b"}")
    return Content(_run({**meta, "security": msgspec.Raw(whole)}, frozenset()), said.rest, whole)


def text(type_name: str, id_: str, version: int, said: Content) -> Text:
    """Return the text of one version; ids need no escaping, by their syntax."""
    head = (
        f'{{"resourceType":"{type_name}","id":"{id_}",'
        f'"meta":{{"versionId":"{version}","lastUpdated":"'
    )
    return Text(head.encode(), b'"' + said.meta + b"}" + said.rest + b"}")


def _run(named: dict[str, msgspec.Raw], without: frozenset[str]) -> bytes:
    return b"".join(
        b"," + msgspec.json.encode(name) + b":" + bytes(value)
        for name, value in named.items()
        if name not in without
    )
