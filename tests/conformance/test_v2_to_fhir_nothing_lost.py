"""Whatever the order of its segments, no result, note or leaf of a message is lost."""

import random
from datetime import UTC
from pathlib import Path

import pytest

from adapters.hl7.mapping.context import Profile, Refusal
from adapters.hl7.mapping.transform import Mapped, transform
from adapters.hl7.message.accounting import valued, written
from adapters.hl7.message.charsets import decode
from adapters.hl7.message.files import messages
from adapters.hl7.message.tokenizer import BadHeader, Message, parse
from adapters.hl7.profiles.model import Astm
from adapters.hl7.records import files, results
from fhir_server.interactions.judging import judged
from fhir_server.r4 import json
from fhir_server.server import Server

PROFILE = Profile("http://h/fhir", "LIS-LAB", UTC)
PARTS = (
    *("ORC|RE|P1|F1", "OBR|1|P1|F1|PANEL^Panel|||20260101", "OBX|1|ST|T1||Qone||||||F"),
    *("NTE|1||Qnote1", "OBX|2|NM|T2||41.70|mg/dL|||||F", "NTE|2||Qnote2", "SPM|1|S1||BLD"),
    *("OBX|3|ST|T3||Qthree||||||F", "ORC|RE|P2|F2", "OBR|2|P2|F2|OTHER^Other|||20260101"),
    *("OBX|4|CWE|T4||Qcode^Qtext^L||||||F", "SPM|2|S2||SER", "NTE|3||Qnote3", "ZZZ|1|Qlocal"),
    *("QQQ|Qunknown", "TQ1|1||||||20260101", "DG1|1||Qdiagnosis", "SAC|||C1"),
)
VALUES = ("Qone", "41.70", "Qthree", "Qcode", "Qtext")
SEEDS = range(60)


def told(kind: str, seed: int) -> Message:
    """Return a message whose segments after PID stand in an order of their own."""
    parts = list(PARTS)
    random.Random(seed).shuffle(parts)
    header = f"MSH|^~\\&|LIS|LAB|EHR|HOSP|20260102030405+0530||{kind}|C1|P|2.5.1"
    return parse("\r".join([header, "PID|1||P1^^^HOSP^MR", *parts]))


def accounted(message: Message, found: Mapped) -> None:
    everything = sorted(written(message.segments[a[0]], a) for a in valued(message))
    mapped = [written(message.segments[a[0]], a) for a in message.mapped]
    assert sorted([*mapped, *(address for address, _ in found.unmapped)]) == everything


@pytest.mark.parametrize("kind", ["ORU^R01", "OUL^R22", "OML^O21"])
@pytest.mark.parametrize("seed", SEEDS)
def test_segments_in_any_order_lose_no_result(kind: str, seed: int) -> None:
    message = told(kind, seed)
    found = transform(message, PROFILE)
    accounted(message, found)
    output = json.encode([w.resource for w in found.writes]).decode()
    assert [value for value in VALUES if value not in output] == []
    listed = {address.partition("[")[0] for address, _ in found.unmapped}
    assert {"ZZZ", "QQQ"} <= listed
    for note in message.named("NTE"):
        place = f"NTE[{note.occurrence}]-3[1].1.1"
        assert (note.raw(3) in output) is (place not in dict(found.unmapped))


def analyzers(shared: Path) -> list[tuple[str, Message]]:
    """Return every message of an analyzer that can be read, HL7 v2 and ASTM."""
    found = []
    for file in sorted((shared / "data/hl7v2/analyzers").rglob("*.*")):
        if file.suffix == ".hl7":
            for raw in messages(file.read_bytes()):
                decoded = decode(raw, fallback="cp1252")
                found.append((file.name, parse(decoded.text, decoded.codec)))
        elif file.suffix in {".astm", ".txt"}:
            for raw in files.messages(file.read_bytes()):
                try:
                    found.append((file.name, results.opened(raw.decode(), "utf-8", Astm())))
                except (BadHeader, Refusal):
                    continue
    return found


async def test_every_message_of_an_analyzer_is_judged_valid(server: Server, shared: Path) -> None:
    wrong, mapped = [], 0
    for name, message in analyzers(shared):
        try:
            found = transform(message, PROFILE)
        except Refusal:
            continue
        mapped += 1
        if message.source is None:
            accounted(message, found)
        for write in found.writes:
            raw = json.encode(write.resource)
            kind = write.resource["resourceType"]
            verdict = await judged(server, kind, json.decode(raw), raw=raw)
            errors = [one for one in verdict.issues if one.severity in {"error", "fatal"}]
            wrong += [(name, kind, one.text, one.expression) for one in errors]
    assert wrong == []
    assert mapped == 26
