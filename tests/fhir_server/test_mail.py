"""Mail that an emergency access waits: by TLS, to a server that is who it should be."""

import asyncio
import ssl
from dataclasses import replace
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Literal

import pytest

from fhir_server.errors import Unavailable
from fhir_server.interactions import glass_mail
from fhir_server.role_settings import GlassSettings, MailSettings
from fhir_server.server import Server
from tests.adapters.hl7.certificates import Authority, authority
from tests.connections import listening

pytestmark = pytest.mark.anyio
Tls = Literal["starttls", "implicit"]


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("tls"), "hospital")


class MailServer:
    """What a mail server says to each command, and what it has taken."""

    def __init__(self, hospital: Authority, tls: Tls, refuses: str = "") -> None:
        own = hospital.sign("localhost")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(own.certificate, own.key)
        self.tls, self.refuses = tls, refuses
        self.said: list[str] = []
        self.mails: list[Message] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        try:
            while line := (await reader.readline()).decode().strip():
                self.said.append(line)
                await self._answer(line.partition(" ")[0].upper(), reader, writer)
        except (ConnectionError, ssl.SSLError):
            return
        finally:
            writer.close()

    async def _answer(
        self, command: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if command == self.refuses:
            writer.write(b"550 no\r\n")
        elif command == "EHLO":
            writer.write(b"250-here\r\n250 STARTTLS\r\n")
        elif command == "STARTTLS":
            writer.write(b"220 go on\r\n")
            await writer.drain()
            await writer.start_tls(self.context)
        elif command == "DATA":
            writer.write(b"354 go on\r\n")
            body = await reader.readuntil(b"\r\n.\r\n")
            self.mails.append(message_from_bytes(body))
            writer.write(b"250 taken\r\n")
        else:
            writer.write(b"250 well\r\n")


async def told(server: Server, mail: MailServer, ca: Path | str) -> None:
    """Have the job send its mail to this server."""
    context = mail.context if mail.tls == "implicit" else None
    async with listening(mail.serve, context) as port:
        settings = MailSettings(
            host="localhost",
            port=port,
            tls=mail.tls,
            ca_file=str(ca),
            sender="sangam@hospital.example",
            to=("officer@hospital.example", "deputy@hospital.example"),
        )
        glass = GlassSettings(mail=settings)
        security = server.settings.security.model_copy(update={"glass": glass})
        known = replace(server, settings=server.settings.model_copy(update={"security": security}))
        assert [one.kind for one in glass_mail.jobs_of(known.settings)] == [glass_mail.KIND]
        await glass_mail.run(known, {})


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_mail_says_where_to_look_and_nothing_of_anybody(
    server: Server, hospital: Authority, tls: Tls
) -> None:
    mail = MailServer(hospital, tls)
    await told(server, mail, hospital.file)
    [sent] = mail.mails
    assert sent["To"] == "officer@hospital.example, deputy@hospital.example"
    assert sent["Subject"] == "Emergency access to be reviewed"
    assert str(sent.get_payload()).replace("\r\n", "\n") == (
        "A record was opened by breaking the glass. Review and sign it here:\n\n"
        "http://testserver/auth/reviews\n.\n"
    )


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_nothing_is_said_to_a_mail_server_that_nobody_vouches_for(
    server: Server, hospital: Authority, tls: Tls
) -> None:
    mail = MailServer(hospital, tls)
    with pytest.raises(Unavailable):
        await told(server, mail, "")
    assert mail.mails == []
    assert [one for one in mail.said if "hospital" in one] == []


@pytest.mark.parametrize("command", ["STARTTLS", "RCPT"])
async def test_mail_that_is_not_taken_is_tried_again(
    server: Server, hospital: Authority, command: str
) -> None:
    mail = MailServer(hospital, "starttls", refuses=command)
    with pytest.raises(Unavailable):
        await told(server, mail, hospital.file)
    assert mail.mails == []


async def test_without_a_mail_server_there_is_no_mail(server: Server) -> None:
    assert glass_mail.jobs_of(server.settings) == []
    await glass_mail.run(server, {})
