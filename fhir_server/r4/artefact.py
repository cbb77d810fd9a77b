"""The artefact of R4 definitions: named sections, each packed and compressed by itself.

Compression by section lets a process load only what it uses; sorted input
makes the content the same at each build.
"""

import zlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import msgspec

NAME = "r4-4.0.1.bin"
FORMAT = 1


def pack(sections: Mapping[str, object]) -> bytes:
    """Return the artefact's bytes."""
    content = {
        name: zlib.compress(msgspec.msgpack.encode(section), 9)
        for name, section in sections.items()
    }
    return msgspec.msgpack.encode({"format": FORMAT, "sections": content})


def unpack(artefact: bytes) -> dict[str, bytes]:
    """Return each section's msgpack text, by name."""
    content = msgspec.msgpack.decode(artefact)
    return {name: zlib.decompress(packed) for name, packed in content["sections"].items()}


def section(name: str) -> Any:  # noqa: ANN401  (each section has a shape of its own)
    """Return one section of the artefact that comes with this package."""
    content = msgspec.msgpack.decode((files("fhir_server.r4") / "data" / NAME).read_bytes())
    return msgspec.msgpack.decode(zlib.decompress(content["sections"][name]))
