"""Patients by their demographics (QBP^Q22) and their other identifiers (QBP^Q23)."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC
from typing import Any

import psycopg
import pytest
from httpx import AsyncClient

from adapters.hl7 import recorded
from adapters.hl7.mapping.context import Context, Profile
from adapters.hl7.mapping.datatypes.hd import system_of as hd_system_of
from adapters.hl7.message.tokenizer import parse
from adapters.hl7.mllp.listener import serve
from adapters.hl7.queries.demographics import system_of
from adapters.hl7.queries.dialogue import dialogue
from fhir_server.server import Server
from tests.adapters.hl7.conftest import Sender, bound
from tests.adapters.hl7.outbound.destination import fields, patient, put

Ask = Callable[..., Any]


@pytest.fixture
async def ask(server: Server, client: AsyncClient) -> AsyncIterator[Ask]:
    """Patients Rao, Asha (N-a, and M-a of another authority), Rao, Tara (N-b) and one replaced."""
    other = {"system": "urn:oid:2.9", "value": "M-a"}
    await put(client, patient("a", identifier=[*patient("a")["identifier"], other]))
    tara = {"family": "Rao", "given": ["Tara"]}
    await put(client, patient("b", name=[tara], gender="male", birthDate="1990-05-01"))
    link = {"type": "replaced-by", "other": {"reference": "Patient/a"}}
    await put(client, patient("old", active=False, link=[link]))
    sock, stop = bound(), asyncio.Event()
    task = asyncio.create_task(serve(server, sock.dup(), stop, None, dialogue(server)))

    async def asking(event: str, qpd: str, mode: str = "|||") -> list[str]:
        header = f"MSH|^~\\&|PDC||SANGAM||20260110||QBP^{event}^QBP_Q21|Q1|P|2.5.1{mode}\r"
        reader, writer = await asyncio.open_connection(*sock.getsockname())
        one = Sender(reader, writer)
        await one.send(f"{header}QPD|IHE PDQ Query|T1|{qpd}\rRCP|I\r".encode())
        answers = [(await one.ack()).decode() for _ in range(2 if "|AL|AL" in mode else 1)]
        writer.close()
        return answers

    yield asking
    stop.set()
    await task
    sock.close()


@pytest.mark.parametrize(
    ("qpd", "found"),
    [
        pytest.param("@PID.5.1.1^Rao~@PID.5.2^As", ["N-a^^^&1.2.3&ISO"], id="name"),
        pytest.param("@PID.5.1^RAO~@PID.7^19900501", ["N-b^^^&1.2.3&ISO"], id="birth_date"),
        pytest.param("@PID.5.1^Rao~@PID.8^M", ["N-b^^^&1.2.3&ISO"], id="sex"),
        pytest.param("@PID.3.1^N-b~@PID.3.4.2^1.2.3~@PID.3.4.3^ISO", ["N-b^^^&1.2.3&ISO"], id="id"),
        pytest.param("@PID.5.1^Nobody", [], id="nobody"),
    ],
)
async def test_patients_are_found_by_what_is_said_of_them(
    ask: Ask, qpd: str, found: list[str]
) -> None:
    (answer,) = await ask("Q22", qpd)
    assert fields(answer, "MSH")[0][8] == "RSP^K22^RSP_K21"
    assert fields(answer, "QAK") == [["QAK", "T1", "OK" if found else "NF", "IHE PDQ Query"]]
    assert [pid[3].split("~")[0] for pid in fields(answer, "PID")] == found


async def test_only_identifiers_of_the_wanted_domain_are_told(ask: Ask) -> None:
    (answer,) = await ask("Q22", "@PID.5.2^Asha|||||^^^&2.9&ISO")
    assert [pid[3] for pid in fields(answer, "PID")] == ["M-a^^^&2.9&ISO"]


@pytest.mark.parametrize(
    ("qpd", "status", "found"),
    [
        pytest.param("N-a^^^&1.2.3&ISO|^^^&2.9&ISO", "OK", ["M-a^^^&2.9&ISO"], id="found"),
        pytest.param("N-b^^^&1.2.3&ISO|^^^&2.9&ISO", "NF", [], id="none_of_the_domain"),
        pytest.param("N-z^^^&1.2.3&ISO", "NF", [], id="nobody"),
        pytest.param("N-a", "AE", [], id="no_authority"),
    ],
)
async def test_the_other_identifiers_of_a_patient_are_told(
    ask: Ask, qpd: str, status: str, found: list[str]
) -> None:
    (answer,) = await ask("Q23", qpd)
    assert fields(answer, "MSH")[0][8] == "RSP^K23^RSP_K23"
    assert fields(answer, "QAK")[0][2] == status
    assert fields(answer, "MSA")[0][1] == ("AE" if status == "AE" else "AA")
    assert [pid[3] for pid in fields(answer, "PID")] == found


async def test_a_query_in_enhanced_mode_is_accepted_and_then_answered(ask: Ask) -> None:
    accepted, answer = await ask("Q23", "N-a^^^&1.2.3&ISO", "|||AL|AL")
    assert fields(accepted, "MSA")[0][1] == "CA"
    assert fields(answer, "QAK")[0][2] == "OK"


async def test_an_unknown_query_is_rejected(ask: Ask) -> None:
    (answer,) = await ask("Q31", "x")
    assert fields(answer, "MSA")[0][1] == "AR"
    assert fields(answer, "QAK")[0][2] == "AR"


@pytest.mark.parametrize(
    "hd",
    [
        ("HOSP", "1.2.3", "ISO"),
        ("HOSP", "", ""),
        ("", "1.2.3", "ISO"),
        ("", "own", "L"),
        ("LAB A", "own", "L"),
        ("X", "agreed", "L"),
    ],
)
def test_a_query_names_the_system_that_messages_make_of_an_authority(
    hd: tuple[str, str, str],
) -> None:
    agreed = {"agreed": "urn:agreed"}
    profile = Profile("http://b", "LIS", UTC, agreed)
    made = hd_system_of(Context(parse("MSH|^~\\&|LIS\r"), profile), *hd, "PID-3")
    assert system_of(agreed, "http://b", "LIS")(hd) == made


NAMED = "@PID.5.1^Rao~@PID.5.2^Asha"


async def records(server: Server) -> list[dict[str, Any]]:
    """What was recorded of who asked."""
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT said FROM audit_record ORDER BY position")
        found = [json.loads(one) for row in await cursor.fetchall() for one in row[0].splitlines()]
    return [one for one in found if one["who"].get("door") == "hl7"]


async def test_an_answer_is_recorded_with_who_asked_what_and_the_patients_told(
    ask: Ask, server: Server
) -> None:
    await ask("Q22", NAMED)
    await ask("Q23", "N-a^^^&1.2.3&ISO|^^^&2.9&ISO")
    await ask("Q23", "N-b^^^&1.2.3&ISO|^^^&2.9&ISO")
    first, second, third = await records(server)
    assert first == {
        "code": "ITI-21",
        "who": {
            "name": "PDC at 127.0.0.1",
            "door": "hl7",
            "client": "PDC",
            "address": "127.0.0.1",
        },
        "asked": base64.b64encode(f"QPD|IHE PDQ Query|T1|{NAMED}".encode()).decode(),
        "places": [["Patient", "a", 0]],
    }
    assert [(one["code"], one.get("places")) for one in (second, third)] == [
        ("ITI-9", [["Patient", "a", 0]]),
        ("ITI-9", None),
    ]


async def test_an_answer_that_cannot_be_recorded_is_not_given(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise psycopg.OperationalError

    monkeypatch.setattr(recorded, "keep", away)
    (answer,) = await ask("Q22", NAMED)
    assert fields(answer, "MSA")[0][1] == "AE"
    assert fields(answer, "PID") == []


async def test_only_a_sender_with_a_profile_is_told_of_patients(ask: Ask, server: Server) -> None:
    object.__setattr__(server.settings, "demo", False)
    (answer,) = await ask("Q22", NAMED)
    assert fields(answer, "MSA")[0][1] == "AR"
    assert fields(answer, "PID") == []
    (said,) = await records(server)
    assert (said["code"], said["outcome"], said.get("places")) == ("ITI-21", 4, None)
