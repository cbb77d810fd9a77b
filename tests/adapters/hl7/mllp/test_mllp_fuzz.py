"""Mutated streams: no crash, no hang, and every whole frame answered in its place.

SANGAM_FUZZ_ROUNDS asks for more of them, SANGAM_FUZZ_SEED for others.
"""

import asyncio
import os
import random
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from adapters.hl7.mapping.context import Profile, Refusal
from adapters.hl7.mapping.transform import transform
from adapters.hl7.message.charsets import Undecodable, UnsupportedCharset, decode
from adapters.hl7.message.files import messages
from adapters.hl7.message.tokenizer import BadHeader, parse
from adapters.hl7.mllp.arrival import Desk, answers, arrival
from adapters.hl7.mllp.framing import Framer
from adapters.hl7.profiles.origin import Origin
from adapters.hl7.profiles.read import Profiles
from fhir_server.hl7_settings import Hl7Settings
from fhir_server.server import Server
from tests.adapters.hl7.conftest import listening

pytestmark = pytest.mark.anyio

SEED = int(os.environ.get("SANGAM_FUZZ_SEED", "20260102"))
ROUNDS = int(os.environ.get("SANGAM_FUZZ_ROUNDS", "1"))
EXAMPLES = Path(__file__).parents[4] / "docs" / "examples"
NOW = datetime(2026, 1, 2, tzinfo=UTC)
CHARSETS = ("", "8859/1", "UNICODE UTF-8", "ISO IR87", "~ISO IR87", "BIG-5", "GB 18030-2000",
            "UNICODE", "KLINGON")  # fmt: skip
PIECES = (
    *(b"\x0b", b"\x1c", b"\r", b"\n", b"\x1c\r", b"\x0bMSH", b"MSH|", b"BHS|^~\\&|\r"),
    *(b"BTS|9\r", b"\\M2442\\", b"\\X", b"\x1b$B", b"\xff\xfe", b"\x00", b"~", b"^", b"&"),
    *(b'""', b"|" * 40),
)


def message(rng: random.Random, number: int) -> bytes:
    charset = rng.choice(CHARSETS)
    kind = rng.choice(("ORU^R01^ORU_R01", "ORU^R01", "ADT^A40", "BAR^P01", "ACK", "", "OML^O21"))
    accept, app = rng.choice(("", "AL", "NE", "ER", "SU")), rng.choice(("", "AL", "NE"))
    head = f"MSH|^~\\&|LIS|LAB|EHR|H|2026||{kind}|F{number}|P|2.5.1|{rng.choice(('', '1'))}||"
    rest = (
        f"{accept}|{app}||{charset}\rPID|1||P1^^^H||Rao^Asha\rOBR|1||F1|X\rOBX|1|NM|A||1||||||F\r"
    )
    return (head + rest).encode()


def mutated(rng: random.Random, content: bytes) -> bytes:
    data = bytearray(content)
    for _ in range(rng.choice((0, 0, 1, 2, 5, 20))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                data[at:at] = rng.choice(PIECES)
            case 1:
                del data[at : at + rng.choice((1, 3, 30))]
            case 2:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 3:
                data[at:at] = data[at : at + rng.choice((5, 50))]
            case _:
                data = data[: max(1, at)]
    return bytes(data)


def stream(rng: random.Random, count: int) -> bytes:
    found = b""
    for number in range(count):
        content = mutated(rng, message(rng, number))
        if rng.random() < 0.15:
            content = b"BHS|^~\\&|LIS\r" + content + message(rng, number) + b"BTS|2\r"
        frame = b"\x0b" + content + rng.choice((b"\x1c\r", b"\x1c\r", b"\x1c\r", b"\x1c"))
        found += rng.choice((frame, frame, frame, mutated(rng, frame), content, b"\r\n" + frame))
    return found


SETTINGS: list[dict[str, object]] = [
    {},
    {"missing_vt": "accept", "accept_unknown": True, "batch_ack": "each"},
    {"sequence": True, "strict_version": True, "order_response": "orl", "batch_ack": "errors"},
    {"strict_sender": True, "ack_when": "committed", "charset_override": "8859/15"},
]


@pytest.mark.parametrize("said", SETTINGS, ids=["usual", "lenient", "strict", "other"])
def test_no_mutated_stream_breaks_the_checks_however_it_is_split(said: dict[str, object]) -> None:
    rng = random.Random(SEED)
    for _ in range(250 * ROUNDS):
        data = stream(rng, 10)
        whole, split = Framer(1 << 20), Framer(1 << 20)
        frames = whole.feed(data) + whole.end()
        pieces = []
        at = 0
        while at < len(data):
            size = rng.choice((1, 2, 7, 200))
            pieces += split.feed(data[at : at + size])
            at += size
        assert pieces + split.end() == frames
        desk = Desk(Hl7Settings.model_validate(said), Origin("mllp"), Profiles(), {})
        for frame in frames:
            found = arrival(frame, desk, NOW)
            assert b"".join(one.raw for one in found.received) or not frame.content
            answers(found, [one.ack for one in found.received], desk.settings, NOW)


def test_no_mutated_message_breaks_the_mapping() -> None:
    """It is mapped, or refused with a reason of the inbox; what it says is read but once."""
    rng = random.Random(SEED + 3)
    profile = Profile("http://x/fhir", "S", ZoneInfo("UTC"))
    seeds = [one for file in EXAMPLES.glob("*.hl7") for one in messages(file.read_bytes())]
    assert len(seeds) > 0
    mapped = 0
    for number in range(500 * ROUNDS):
        content = mutated(rng, rng.choice((rng.choice(seeds), message(rng, number))))
        try:
            decoded = decode(content, fallback="cp1252")
            mapped += bool(transform(parse(decoded.text, decoded.codec), profile).writes)
        except (Refusal, BadHeader, Undecodable, UnsupportedCharset):
            continue
    assert mapped > 50 * ROUNDS


ANSWERS = {"ACK", "MCF", "ORL", "ORR", "RSP"}


def wants_answer(content: bytes) -> bool:
    """Whether a whole frame is answered by one frame: original mode, one message, no ACK."""
    try:
        header = parse(content.decode("latin-1"), "latin-1").header
    except BadHeader:
        return content[:3] not in {b"BHS", b"FHS"}
    return not (header.valued(15) or header.valued(16)) and header.peek(9) not in ANSWERS


async def test_every_whole_frame_of_a_mutated_stream_is_answered_in_order(server: Server) -> None:
    rng = random.Random(SEED + 1)
    for _ in range(6 * ROUNDS):
        frames = [mutated(rng, message(rng, n)).replace(b"\x0bMSH", b"MSH") for n in range(60)]
        frames = [one.replace(b"\x1c", b" ") for one in frames]
        frames = [one for one in frames if wants_answer(one) and one.count(b"MSH") == 1]
        assert len(frames) > 5
        async with listening(server) as connect, connect() as sender:
            await sender.put(b"".join(b"\x0b" + one + b"\x1c\r" for one in frames))
            for content in frames:
                said = (await sender.ack()).split(b"\r")[1]
                mark = content.partition(b"MSH")[2][:1]
                assert said[:6] in {b"MSA|AA", b"MSA|AR", b"MSA|AE"} or mark != b"|", content
            assert await sender.is_silent(0.02)


async def test_garbage_on_many_connections_leaves_the_listener_whole(server: Server) -> None:
    rng = random.Random(SEED + 2)
    good = b"MSH|^~\\&|LIS|LAB|EHR|H|2026||ORU^R01|LAST|P|2.5.1\rPID|1||P1^^^H\rOBR|1||F1|X\r"
    async with listening(server, fs_grace_seconds=0.01) as connect:

        async def vandal() -> None:
            async with connect() as one:
                await one.put(stream(rng, 15))
                one.writer.write_eof()
                async with asyncio.timeout(10):
                    await one.reader.read()

        await asyncio.gather(*(vandal() for _ in range(12 * ROUNDS)))
        async with connect() as sender:
            await sender.send(good)
            assert await sender.msa() == ["MSA", "AA", "LAST"]
