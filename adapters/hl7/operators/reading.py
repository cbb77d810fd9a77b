"""Messages read as their senders mean them: of files without the inbox, and of the inbox."""

from dataclasses import dataclass
from typing import Any, Final

from adapters.hl7.inbox.apply import begin
from adapters.hl7.inbox.understand import NOTHING_KEPT, KeptOrigin, opened, sender_now, understand
from adapters.hl7.mapping.context import Profile, Refusal
from adapters.hl7.message import files as hl7_files
from adapters.hl7.message.tokenizer import Message
from adapters.hl7.profiles.agreements import agreements
from adapters.hl7.profiles.compose import compose
from adapters.hl7.profiles.configured import profile_of
from adapters.hl7.profiles.directory import Directory
from adapters.hl7.profiles.read import Loaded, Profiles
from adapters.hl7.records import files as record_files
from adapters.hl7.records.transmission import is_records
from fhir_server.config import Settings
from fhir_server.errors import NotFound
from fhir_server.server import Server

_USUAL_BASE: Final = "http://localhost/fhir"
_ROW: Final = "SELECT id, raw, channel, peer, sender FROM hl7_message WHERE id = %s"


@dataclass(frozen=True, slots=True)
class Stored:
    """The bytes of a message of the inbox, and what it knows beside them."""

    id: int
    raw: bytes
    kept: KeptOrigin


def messages(content: bytes) -> list[bytes]:
    """Return the messages of a file: of HL7 v2, or of ASTM records."""
    lines = (line.lstrip() for line in content.splitlines())
    first = next((one for one in lines if one and not one.startswith(b"#")), b"")
    if is_records(first):
        return record_files.messages(content)
    return [hl7_files.framed(one) for one in hl7_files.messages(content)]


def served(settings: Settings) -> Profiles:
    """Return the profiles of the directory that the settings name."""
    directory = Directory(settings.hl7.profiles_dir)
    directory.scan()
    return directory.profiles


def of_bytes(
    raw: bytes, settings: Settings, profiles: Profiles, loaded: Loaded | None = None
) -> tuple[Message, Profile]:
    """Return a message, and what is agreed with its sender by files and settings alone.

    `loaded` is the profile to be used whoever sends, None for the one that fits. Raises
    Refusal where the message cannot be read.
    """
    if loaded is None:
        message = opened(raw, settings)
        found = sender_now(profiles, message, NOTHING_KEPT, settings)
        if found.doubt == "AMBIGUOUS_SENDER":
            raise Refusal(found.doubt, found.text, "MSH-3")
        loaded = found.profile
    message = opened(raw, settings, loaded)
    base = settings.hl7.uri_base or settings.base_url or _USUAL_BASE
    usual = profile_of(message, settings, base.rstrip("/"))
    hold = settings.hl7.unmapped_policy == "hold"
    return message, compose(usual, loaded, {}, hold=hold)


async def stored(server: Server, id_: int) -> Stored:
    """Return the bytes of a message of the inbox; NotFound without one."""
    async with server.database.connection() as connection:
        row: Any = await (await connection.execute(_ROW, (id_,))).fetchone()
    if row is None:
        raise NotFound(f"There is no message {id_} in the inbox")
    number, raw, *kept = row
    return Stored(number, bytes(raw), KeptOrigin(*kept))


async def of_inbox(server: Server, one: Stored) -> tuple[Message, Profile]:
    """Return a message of the inbox as it would be mapped today; raises Refusal."""
    agreed = agreements(server)
    await agreed.refresh()
    base = (await begin(server)).base
    settings = server.settings
    return await understand(
        agreed, settings, one.raw, one.kept, lambda m: profile_of(m, settings, base)
    )
