"""Killed at any moment: nothing acknowledged is lost, nothing doubled, nothing half-written.

SANGAM_CRASH_SIZE sets the number of messages (default small), SANGAM_CRASH_SEED
what is killed when.
"""

import json
import os
import random
import signal
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from flows.running import Running

from adapters.dicom.dataset.syntaxes import CT_IMAGE_STORAGE, EXPLICIT_LITTLE
from adapters.dicom.network.scu import Sender
from adapters.dicom.network.wire import Closed
from adapters.dicom.simulation import computed_tomography as ct
from adapters.hl7.mllp.client import send
from adapters.hl7.simulate.chemistry import oru
from fhir_server.r4.definitions import load

SIZE = int(os.environ.get("SANGAM_CRASH_SIZE", "60"))
SEED = int(os.environ.get("SANGAM_CRASH_SEED", "1"))
OBSERVATIONS = 25
SENDERS = 3

# So many seconds are waited for what is mapped after the kill: ten messages a second.
PATIENCE = 180 + SIZE // 10
pytestmark = [pytest.mark.timeout(600 + 2 * PATIENCE), pytest.mark.xdist_group("server")]


def killed_midway(
    running: Running, work: list[int], deliver: Callable[[list[int], list[int]], None]
) -> set[int]:
    """Let senders deliver, kill the server when some part is acknowledged, start it again.

    Returns what was acknowledged before the kill.
    """
    dice = random.Random(SEED)
    acknowledged: list[int] = []
    enough = int(len(work) * dice.uniform(0.2, 0.7))
    senders = [
        threading.Thread(target=deliver, args=(work[n::SENDERS], acknowledged))
        for n in range(SENDERS)
    ]
    for sender in senders:
        sender.start()
    assert running.until(PATIENCE, lambda: len(acknowledged) >= enough), running.log()
    running.kill(database=dice.random() < 0.5)
    for sender in senders:
        sender.join(60)
    before = set(acknowledged)
    assert len(before) < len(work), "the kill came too late to show anything"
    running.start()
    return before


def test_oru_messages_survive_a_kill(running: Running) -> None:
    def deliver(seeds: list[int], acknowledged: list[int]) -> None:
        try:
            answers = send("127.0.0.1", port, [oru(seed, OBSERVATIONS) for seed in seeds])
            for seed, answer in zip(seeds, answers, strict=False):
                if answer.code == "AA":
                    acknowledged.append(seed)
        except OSError:
            return

    def made() -> list[int]:
        now = (running.total(name) for name in expected)
        return [total - old for total, old in zip(now, others, strict=True)]

    expected = {
        "DiagnosticReport": SIZE,
        "Observation": SIZE * OBSERVATIONS,
        "Specimen": SIZE,
        "ServiceRequest": SIZE,
        "DiagnosticReport?_lastUpdated=ge2000&status=final": SIZE,
    }
    others = [running.total(name) for name in expected]
    port = running.port("mllp")
    work = list(range(SIZE))
    before = killed_midway(running, work, deliver)
    with psycopg.connect(running.database) as connection:
        kept = {
            int(row[0].removeprefix("SIM"))
            for row in connection.execute(
                "SELECT control_id FROM hl7_message WHERE control_id LIKE 'SIM%'"
            )
        }
    assert before <= kept

    port = running.port("mllp")
    again: list[int] = []
    deliver(work, again)
    assert again == work
    assert running.until(PATIENCE, lambda: made()[0] == SIZE), running.log()
    assert running.until(60, lambda: done(running, "SIM%") == {"done": SIZE}), running.log()
    assert made() == list(expected.values())


PATIENTS = max(6, SIZE // 60 * 3)


def stories() -> list[bytes]:
    """Return messages in which each patient has one result that grows, and is merged midway.

    Those of one patient go through one sender (their indices are alike modulo SENDERS).
    Before the merge results come under the old number, afterwards under either.
    """
    dice = random.Random(SEED)
    turns = SIZE // PATIENTS
    sent = []
    for turn in range(turns):
        for patient in range(PATIENTS):
            old, new = f"O{patient}^^^H", f"N{patient}^^^H"
            start = f"MSH|^~\\&|LIS|LAB|EHR|H|2026||{{}}|S{patient}-{turn}|P|2.5.1\r"
            if turn == turns // 2:
                sent.append(start.format("ADT^A40") + f"PID|1||{new}\rMRG|{old}\r")
                continue
            who = dice.choice((old, new)) if turn > turns // 2 else old
            sent.append(
                start.format("ORU^R01") + f"PID|1||{who}\rOBR|1||F{patient}|PANEL^Panel\r"
                f"OBX|1|NM|GLU^Glucose||{turn}||||||F\r"
            )
    return [one.encode() for one in sent]


def test_order_and_merges_survive_a_kill(running: Running) -> None:
    sent = stories()

    def deliver(numbers: list[int], acknowledged: list[int]) -> None:
        try:
            answers = send("127.0.0.1", port, [sent[number] for number in numbers])
            for number, answer in zip(numbers, answers, strict=False):
                if answer.code == "AA":
                    acknowledged.append(number)
        except OSError:
            return

    port = running.port("mllp")
    work = list(range(len(sent)))
    before = killed_midway(running, work, deliver)
    with psycopg.connect(running.database) as connection:
        kept = {row[0] for row in connection.execute("SELECT control_id FROM hl7_message")}
    assert {f"S{n % PATIENTS}-{n // PATIENTS}" for n in before} <= kept

    port = running.port("mllp")
    again: list[int] = []
    for sender in range(SENDERS):
        # What was not acknowledged comes first: its answers may be those of before the kill.
        deliver(work[sender::SENDERS], again)
    assert sorted(again) == work
    assert running.until(PATIENCE, lambda: done(running, "S%-%") == {"done": len(sent)})
    expected = grown(SIZE // PATIENTS)
    for patient in range(PATIENTS):
        survivor = alive(running.get(f"Patient?identifier=N{patient}"))
        report = running.get(f"DiagnosticReport?identifier=F{patient}")["entry"]
        assert [one["resource"]["subject"] for one in report] == [{"reference": survivor}]
        (observation,) = running.get(f"Observation?subject={survivor}")["entry"]
        history = running.get(f"Observation/{observation['resource']['id']}/_history?_count=200")
        values = [one["resource"]["valueQuantity"]["value"] for one in history["entry"]]
        assert values[::-1] == expected


def grown(turns: int) -> list[int]:
    """Return the values of all versions: each once and in order, the merge's as the one before."""
    return [turn - (turn == turns // 2) for turn in range(turns)]


def alive(bundle: dict[str, Any]) -> str:
    (one,) = [
        entry["resource"] for entry in bundle["entry"] if entry["resource"].get("active", True)
    ]
    return f"Patient/{one['id']}"


def done(running: Running, control_ids: str) -> dict[str, int]:
    states = "SELECT state, count(*) FROM hl7_message WHERE control_id LIKE %s GROUP BY 1"
    with psycopg.connect(running.database) as connection:
        return dict(connection.execute(states, (control_ids,)).fetchall())


def test_transactions_survive_a_kill(running: Running) -> None:
    observations = 9

    def bundle(number: int) -> bytes:
        identifier = [{"system": "urn:crash", "value": str(number)}]
        patient = {"resourceType": "Patient", "identifier": identifier}
        observation = {
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": "x"},
            "identifier": identifier,
            "subject": {"reference": "urn:uuid:3f0a6c0e-53a8-4a5c-8a3f-0d7f3b6f8a11"},
        }
        entries = [
            {
                "fullUrl": "urn:uuid:3f0a6c0e-53a8-4a5c-8a3f-0d7f3b6f8a11",
                "resource": patient,
                "request": {"method": "POST", "url": "Patient"},
            },
            *(
                {"resource": observation, "request": {"method": "POST", "url": "Observation"}}
                for _ in range(observations)
            ),
        ]
        sent = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        return json.dumps(sent).encode()

    def deliver(numbers: list[int], acknowledged: list[int]) -> None:
        headers = {"Content-Type": "application/fhir+json"}
        for number in numbers:
            request = urllib.request.Request(base, bundle(number), headers)
            try:
                with urllib.request.urlopen(request, timeout=30) as response:
                    if response.status == 200:
                        acknowledged.append(number)
                look = f"{base}/Patient?identifier=urn:crash|{number}"
                told = urllib.request.Request(look, headers={"X-Request-Id": f"seen-{number}"})
                with urllib.request.urlopen(told, timeout=30):
                    seen.append(f"seen-{number}")
            except OSError:
                return

    def audited() -> Counter[str]:
        told = "SELECT substring(json from 'seen-[0-9]+') FROM body WHERE json LIKE '%seen-%'"
        with psycopg.connect(running.database) as connection:
            return Counter(row[0] for row in connection.execute(told))

    def rows() -> tuple[int, ...]:
        # What is asked is audited too, meanwhile and afterwards.
        counts = [
            f"(SELECT count(*) FROM {table} LEFT JOIN resource r USING (key)"
            " WHERE r.type_id IS DISTINCT FROM %(audit)s)"
            for table in ("body", "change", "terms")
        ]
        audit = {"audit": load().type_ids["AuditEvent"]}
        with psycopg.connect(running.database) as connection:
            return connection.execute(f"SELECT {', '.join(counts)}", audit).fetchone() or ()

    base = running.said["base"]
    seen: list[str] = []
    others, patients = rows(), running.total("Patient")
    work = list(range(SIZE * 4))
    before = killed_midway(running, work, deliver)
    made = tuple(now - old for now, old in zip(rows(), others, strict=True))
    assert made == ((running.total("Patient") - patients) * (1 + observations),) * 3
    for number in work:
        whole = (
            running.total(f"Patient?identifier=urn:crash|{number}"),
            running.total(f"Observation?identifier=urn:crash|{number}"),
        )
        assert whole in {(1, observations), (0, 0)}
        assert whole[0] == 1 or number not in before
    # What was answered is on record, and its AuditEvent was made once.
    assert seen
    assert running.until(60, lambda: set(seen) <= audited().keys()), running.log()
    assert set(audited().values()) == {1}


def test_instances_survive_a_kill(running: Running) -> None:
    study = ct.Study(seed=SEED, slices=SIZE, size=64)
    contexts = [(CT_IMAGE_STORAGE, EXPLICIT_LITTLE)]
    instances = list(ct.instances(study))

    def deliver(numbers: list[int], acknowledged: list[int]) -> None:
        try:
            with Sender(
                ("127.0.0.1", port), called="SANGAM", calling="TEST", contexts=contexts
            ) as sender:
                for number in numbers:
                    if sender.store(instances[number]) == 0:
                        acknowledged.append(number)  # noqa: PERF401  (others count meanwhile)
        except (OSError, Closed):
            return

    port = running.port("dicom")
    work = list(range(SIZE))
    before = killed_midway(running, work, deliver)
    with psycopg.connect(running.database) as connection:
        kept = {row[0] for row in connection.execute("SELECT sop_instance_uid FROM dicom_instance")}
    assert {instances[number].sop_instance_uid for number in before} <= kept

    port = running.port("dicom")
    again: list[int] = []
    deliver(work, again)
    assert again == work

    def counted() -> int:
        found = running.get("ImagingStudy").get("entry", [])
        assert len(found) <= 1
        return found[0]["resource"]["numberOfInstances"] if found else 0

    assert running.until(60, lambda: counted() == SIZE), running.log()
    series = running.get("ImagingStudy")["entry"][0]["resource"]["series"]
    uids = [one["uid"] for part in series for one in part["instance"]]
    assert sorted(uids) == sorted(one.sop_instance_uid for one in instances)


def test_messages_of_killed_mappers_are_taken_over_in_their_order(running: Running) -> None:
    turns = range(SIZE // PATIENTS)
    sent = [
        f"MSH|^~\\&|LIS|LAB|EHR|H|2026||ORU^R01|K{patient}-{turn}|P|2.5.1\rPID|1||K{patient}^^^H\r"
        f"OBR|1||K{patient}|PANEL^Panel\rOBX|1|NM|GLU^Glucose||{turn}||||||F\r".encode()
        for turn in turns
        for patient in range(PATIENTS)
    ]
    answers = send("127.0.0.1", running.port("mllp"), sent)
    assert [answer.code for answer in answers] == ["AA"] * len(sent)
    for name in ("mapper 1", "worker"):
        os.kill(running.said["children"][name], signal.SIGKILL)
    assert running.until(60, lambda: done(running, "K%") == {"done": len(sent)}), running.log()
    for patient in range(PATIENTS):
        (observation,) = running.get(f"Observation?patient.identifier=K{patient}")["entry"]
        history = running.get(f"Observation/{observation['resource']['id']}/_history?_count=200")
        values = [one["resource"]["valueQuantity"]["value"] for one in history["entry"]]
        assert values[::-1] == list(turns)
