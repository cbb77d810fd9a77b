"""The queue of a destination: what counts as success, what is sent again, and in which order."""

import asyncio
import ssl
from pathlib import Path

import pytest
from httpx import AsyncClient

from adapters.hl7.outbound import queue
from adapters.hl7.outbound.serve import serve
from fhir_server.server import Server
from tests.adapters.hl7.certificates import authority
from tests.adapters.hl7.outbound.destination import (
    ack,
    agree,
    destination,
    fields,
    patient,
    positive,
    put,
    rows,
    settled,
    telling,
    told,
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "profiles"


async def test_a_change_is_told_once_and_done_when_its_control_id_is_acknowledged(
    server: Server, client: AsyncClient, place: Path
) -> None:
    async with destination() as there:
        agree(place, there.port, "ADT")
        async with telling(server, place) as telling_server:
            await put(client, patient())
            (message,) = await there.until(1)
            await settled(telling_server, [("ADT^A31", "done", 1)], "event, state, attempts")
    assert message.split("|")[8] == "ADT^A31^ADT_A05"
    assert fields(message, "PID")[0][:9] == [
        *("PID", "1", "", "N-p^^^&1.2.3&ISO", "", "Rao^Asha", "", "19800115", "F"),
    ]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param("AA", ("done", 1), id="AA"),
        pytest.param("CA", ("accepted", 1), id="CA"),
        pytest.param("AE", ("dead", 1), id="AE"),
        pytest.param("CE", ("dead", 1), id="CE"),
        pytest.param("AR", ("dead", 2), id="AR_after_its_tries"),
        pytest.param("CR", ("dead", 2), id="CR_after_its_tries"),
    ],
)
async def test_the_answer_decides(
    server: Server, client: AsyncClient, place: Path, code: str, expected: tuple[str, int]
) -> None:
    async with destination(lambda control: ack(code, control)) as there:
        agree(place, there.port, "ADT", more="attempts = 2")
        async with telling(server, place) as telling_server:
            await put(client, patient())
            await there.until(expected[1])
            await settled(telling_server, [expected], "state, attempts")
    assert len(set(there.came)) == 1  # a resend has the same bytes, MSH-10 among them


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(b"", id="silence"),
        pytest.param(None, id="hangs_up"),
        pytest.param(b"\x0bnonsense\x1c\r", id="unreadable"),
        pytest.param(b"\x0bMSH|^~\\&|\rMSA|ZZ|x\x1c\r", id="no_code_of_the_table"),
        pytest.param(ack("AA", "SOMEBODY-ELSE"), id="foreign"),
    ],
)
async def test_what_is_no_answer_to_the_message_completes_nothing_and_it_is_sent_again(
    server: Server, client: AsyncClient, place: Path, bad: bytes | None
) -> None:
    asked: list[str] = []

    def answer(control_id: str) -> bytes | None:
        asked.append(control_id)
        return bad if len(asked) == 1 else positive(control_id)

    async with destination(answer) as there:
        agree(place, there.port, "ADT", timeout=0.2)
        async with telling(server, place) as telling_server:
            await put(client, patient())
            await there.until(2)
            await settled(telling_server, [("done", 2)], "state, attempts")
    assert there.came[0] == there.came[1]
    assert there.connections == 2  # the first was closed before the second try


async def test_a_late_answer_does_not_acknowledge_the_next_message(
    server: Server, client: AsyncClient, place: Path
) -> None:
    late: list[str] = []

    def answer(control_id: str) -> bytes | None:
        if not late:
            late.append(control_id)
            return b""
        return ack("AA", late[0]) if late[0] != control_id else positive(control_id)

    async with destination(answer) as there:
        agree(place, there.port, "ADT", timeout=0.2)
        async with telling(server, place) as telling_server:
            await put(client, patient("a"))
            await there.until(1)
            await put(client, patient("b"))
            await there.until(3)
            await settled(telling_server, [("done",), ("queued",)], "state")


async def test_an_answer_may_come_in_pieces(
    server: Server, client: AsyncClient, place: Path
) -> None:
    def answer(control_id: str) -> bytes:
        whole = positive(control_id)
        return b"<piece>".join(whole[at : at + 3] for at in range(0, len(whole), 3))

    async with destination(answer) as there:
        agree(place, there.port, "ADT")
        async with telling(server, place) as telling_server:
            await put(client, patient())
            await settled(telling_server, [("done", 1)], "state, attempts")


async def test_in_enhanced_mode_the_application_has_the_last_word(
    server: Server, client: AsyncClient, place: Path
) -> None:
    def answer(control_id: str) -> bytes:
        last = "AE" if answered else "AA"
        answered.append(control_id)
        return ack("CA", control_id) + b"<piece>" + ack(last, control_id)

    answered: list[str] = []
    async with destination(answer) as there:
        agree(place, there.port, "ADT", more='mode = "enhanced"')
        async with telling(server, place) as telling_server:
            await put(client, patient("a"))
            await put(client, patient("b"))
            await settled(telling_server, [("done",), ("dead",)], "state")
    assert [one.split("\r")[0].split("|")[14:16] for one in there.texts] == [["AL", "AL"]] * 2


async def test_a_patient_whose_message_waits_does_not_hold_others(
    server: Server, client: AsyncClient, place: Path
) -> None:
    def answer(control_id: str) -> bytes:
        del control_id
        return (
            ack("AR", there.texts[-1].split("|")[9])
            if "N-a" in there.texts[-1]
            else positive(there.texts[-1].split("|")[9])
        )

    async with destination(answer) as there:
        agree(place, there.port, "ADT", more="attempts = 1000000")
        async with telling(server, place) as telling_server:
            await put(client, patient("a"))
            await there.until(1)
            await put(client, patient("a", birthDate="1981-01-15"))
            await put(client, patient("b"))
            await settled(
                telling_server,
                [("Patient/a", "queued"), ("Patient/a", "queued"), ("Patient/b", "done")],
                "keys[1], state",
            )
    assert not [one for one in there.texts if "19810115" in one]


async def test_what_was_not_acknowledged_is_sent_again_after_a_restart(
    server: Server, client: AsyncClient, place: Path
) -> None:
    async with destination(lambda _: b"") as there:
        agree(place, there.port, "ADT")
        async with telling(server, place):
            await put(client, patient())
            await there.until(1)
        there.answer = positive
        async with telling(server, place) as telling_server:
            await there.until(2)
            await settled(telling_server, [("done",)], "state")
    assert there.came[0] == there.came[1]


async def test_a_changed_profile_counts_from_the_next_message_on(
    server: Server, client: AsyncClient, place: Path
) -> None:
    async with destination() as first, destination() as second:
        agree(place, first.port, "ADT")
        async with telling(server, place) as telling_server:
            await put(client, patient("a"))
            await first.until(1)
            agree(place, second.port, "ADT", more='receiving_application = "NEW"')
            await asyncio.sleep(0.7)  # profiles are looked at twice a second
            await put(client, patient("b"))
            await second.until(1)
            await settled(telling_server, [("done",)] * 2, "state")
    assert len(first.came) == 1
    assert second.texts[0].split("|")[4] == "NEW"


async def test_over_tls_both_sides_show_certificates(
    server: Server, client: AsyncClient, place: Path, tmp_path: Path
) -> None:
    ours = authority(tmp_path, "ours")
    theirs, us = ours.sign("localhost"), ours.sign("sangam")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(ours.file))
    context.load_cert_chain(theirs.certificate, theirs.key)
    context.verify_mode = ssl.CERT_REQUIRED
    shown = (
        f'[outbound.tls]\nca = "{ours.file}"\ncertificate = "{us.certificate}"\nkey = "{us.key}"'
    )
    async with destination(tls=context) as there:
        agree(place, there.port, "ADT", more=shown)
        async with telling(server, place) as telling_server:
            await put(client, patient())
            await settled(telling_server, [("done",)], "state")


async def test_a_destination_with_another_certificate_gets_nothing(
    server: Server, client: AsyncClient, place: Path, tmp_path: Path
) -> None:
    pair = authority(tmp_path, "strange").sign("localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    trusted = authority(tmp_path, "ours")
    async with destination(tls=context) as there:
        agree(place, there.port, "ADT", more=f'[outbound.tls]\nca = "{trusted.file}"')
        async with telling(server, place) as telling_server:
            await put(client, patient())
            expected = [("queued", 0, "Not reached: SSLCertVerificationError")]
            await settled(telling_server, expected, "state, attempts, detail")
    assert there.came == []


async def test_of_two_processes_one_tells(server: Server, client: AsyncClient, place: Path) -> None:
    async with destination() as there:
        agree(place, there.port, "ADT")
        stop = asyncio.Event()
        async with telling(server, place) as telling_server:
            other = asyncio.create_task(serve(told(server, place), stop))
            for one in "abc":
                await put(client, patient(one))
            await settled(telling_server, [("done",)] * 3, "state")
            stop.set()
            await other
    assert len(there.came) == 3


async def test_an_operator_has_a_dead_letter_sent_again_or_dismisses_it(
    server: Server, client: AsyncClient, place: Path
) -> None:
    async with destination(lambda control: ack("AE", control)) as there:
        agree(place, there.port, "ADT")
        async with telling(server, place) as telling_server:
            await put(client, patient("a"))
            await put(client, patient("b"))
            await settled(telling_server, [("dead",)] * 2, "state")
            there.answer = positive
            (first, second) = [row[0] for row in await rows(server, "id")]
            async with server.database.statement() as connection:
                assert await queue.retry(connection, [first], "me") == [first]
                assert await queue.dismiss(connection, [second], "me", "not needed") == [second]
            await settled(telling_server, [("done",), ("dismissed",)], "state")
    assert there.came[2] in there.came[:2]
