"""What a message holds, for those who may see it: as it came, as it is read, as it is mapped."""

import asyncio
import itertools
from typing import Any, Final

from adapters.hl7.explain.explanation import explain
from adapters.hl7.explain.views import plain
from adapters.hl7.mapping.context import Profile, Refusal
from adapters.hl7.message import accounting
from adapters.hl7.message.tokenizer import Message
from adapters.hl7.operators import queries
from adapters.hl7.operators.reading import of_bytes, of_inbox, served, stored
from fhir_server.config import Settings
from fhir_server.errors import BadRequest, NotFound, TooLarge, Unprocessable
from fhir_server.r4 import json
from fhir_server.server import Server

MOST_LEAVES: Final = 20_000
"""Parts of a message that are explained over HTTP."""


async def raw(server: Server, id_: int) -> str:
    """Return the bytes of a message as text; what is not in UTF-8 is read as Latin-1."""
    return _text((await _payload(server, id_))["raw"])


async def acknowledgements(server: Server, id_: int) -> dict[str, str | None]:
    """Return what the sender was answered: at once, and after processing."""
    row = await _payload(server, id_)
    return {
        name: _text(row[column]) if row[column] is not None else None
        for name, column in (("ack", "ack"), ("application", "app_ack"))
    }


async def _payload(server: Server, id_: int) -> queries.Row:
    async with server.database.connection() as connection:
        found = await queries.rows(connection, queries.PAYLOAD, {"id": id_})
    if not found:
        raise NotFound(f"There is no message {id_} in the inbox")
    return found[0]


def _text(content: bytes) -> str:
    try:
        return bytes(content).decode()
    except UnicodeDecodeError:
        return bytes(content).decode("latin-1")


async def parsed(server: Server, id_: int) -> dict[str, Any]:
    """Return the segments of a message and its valued leaves; Unprocessable if it is none."""
    try:
        message, _ = await of_inbox(server, await stored(server, id_))
    except Refusal as refusal:
        raise Unprocessable(f"{refusal.reason}: {refusal.text}") from None
    return {
        "charset": message.codec,
        "delimiters": message.delimiters.characters,
        "leaves": sum(1 for _ in accounting.valued(message)),
        "segments": _segments(message),
    }


def _segments(message: Message) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for segment in message.segments:
        fields = {
            str(number): message.unescaped(raw) if segment.is_text(number) else raw
            for number, raw in enumerate(segment.fields)
            if number and raw
        }
        found.append({"name": segment.name, "number": segment.occurrence, "fields": fields})
    return found


async def explained(server: Server, id_: int, *, values: bool, resources: bool) -> bytes:
    """Return the explanation of a message of the inbox as JSON, as it would be mapped today."""
    try:
        message, profile = await of_inbox(server, await stored(server, id_))
    except Refusal as refusal:
        raise Unprocessable(f"{refusal.reason}: {refusal.text}") from None
    return await asyncio.to_thread(_explained, message, profile, values=values, resources=resources)


async def tried(server: Server, content: bytes, profile: str = "") -> bytes:
    """Return the explanation of posted bytes as JSON, with the resources; nothing is stored.

    `profile` names a sender whose profile is used, "" for the one that fits.
    """
    return await asyncio.to_thread(_tried, server.settings, content, profile)


def _tried(settings: Settings, content: bytes, profile: str) -> bytes:
    profiles = served(settings)
    loaded = profiles.by_sender.get(profile)
    if profile and loaded is None:
        raise BadRequest("No profile of this sender serves")
    try:
        message, agreed = of_bytes(content, settings, profiles, loaded)
    except Refusal as refusal:
        raise Unprocessable(f"{refusal.reason}: {refusal.text}") from None
    return _explained(message, agreed, values=True, resources=True)


def _explained(message: Message, profile: Profile, *, values: bool, resources: bool) -> bytes:
    most = itertools.islice(accounting.valued(message), MOST_LEAVES + 1)
    if sum(1 for _ in most) > MOST_LEAVES:
        raise TooLarge(f"More than {MOST_LEAVES:,} parts are explained on the command line only")
    return json.encode(plain(explain(message, profile), values=values, resources=resources))
