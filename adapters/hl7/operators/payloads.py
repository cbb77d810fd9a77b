"""What a message holds, for those who may see it: as it came, as it is read, as it is mapped."""

from typing import Any

from adapters.hl7.explain.explanation import explain
from adapters.hl7.explain.views import plain
from adapters.hl7.mapping.context import Refusal
from adapters.hl7.message import accounting
from adapters.hl7.message.tokenizer import Message
from adapters.hl7.operators import queries
from adapters.hl7.operators.reading import of_bytes, of_inbox, served, stored
from fhir_server.errors import BadRequest, NotFound, Unprocessable
from fhir_server.r4 import json
from fhir_server.server import Server


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
        found = explain(*await of_inbox(server, await stored(server, id_)))
    except Refusal as refusal:
        raise Unprocessable(f"{refusal.reason}: {refusal.text}") from None
    return json.encode(plain(found, values=values, resources=resources))


def tried(server: Server, content: bytes, profile: str = "") -> bytes:
    """Return the explanation of posted bytes as JSON, with the resources; nothing is stored.

    `profile` is the name of a file of the directory of profiles, "" for the one that fits.
    """
    profiles = served(server.settings)
    loaded = None
    if profile:
        loaded = next((one for one in profiles.by_sender.values() if one.sender == profile), None)
        if loaded is None:
            raise BadRequest(f"No profile of a sender {profile} serves")
    try:
        found = explain(*of_bytes(content, server.settings, profiles, loaded))
    except Refusal as refusal:
        raise Unprocessable(f"{refusal.reason}: {refusal.text}") from None
    return json.encode(plain(found, values=True, resources=True))
