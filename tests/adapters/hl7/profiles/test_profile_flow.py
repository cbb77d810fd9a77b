"""A profile at work: from the file to the resources that a message becomes."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.hl7.inbox import process
from adapters.hl7.inbox.receive import store
from adapters.hl7.mllp.examine import examine
from adapters.hl7.mllp.framing import Frame, Kind
from adapters.hl7.profiles import agreements as kept
from adapters.hl7.profiles.origin import Origin
from fhir_server.server import Server
from tests.adapters.hl7.conftest import with_hl7

pytestmark = pytest.mark.anyio

PROFILE = """\
version = "2026-01"
sender = "LIS-LAB"
[match]
applications = ["LIS"]
addresses = ["10.1.0.0/16"]
[time]
zone = "Asia/Kolkata"
[text]
fallback = "cp1251"
[authorities.HOSP]
system = "https://hospital.example/mrn"
assigner = "City Hospital"
trust = "national"
[tables.0085]
DONE = "F"
[codes.OBX-3]
GLU = "2345-7^Glucose^LN"
[units]
"blips" = "mmol/L"
[[quirks]]
do = "copy"
from = "OBR-19"
to = "OBR-2"
[mapping]
orders_from_results = true
[unmapped]
policy = "hold"
fields = ["OBX-3", "OBX-6"]
"""
SEGMENTS = (
    "PID|1||P1^^^HOSP^MR||Rao^Asha",
    "OBR|1||F1|PANEL^Panel|||20260101120000||||||||||||O77||||||F",
    "OBX|1|NM|GLU^Sugar||5.10|blips|||||DONE",
)


def oru(*segments: str, control_id: str = "C1") -> bytes:
    start = f"MSH|^~\\&|LIS|LAB|EHR|H|2026||ORU^R01|{control_id}|P|2.5.1"
    return ("\r".join([start, *(segments or SEGMENTS)]) + "\r").encode("cp1251")


async def keep(server: Server, *messages: bytes, peer: str) -> None:
    now, hl7, agreed = datetime.now(UTC), server.settings.hl7, kept.agreements(server)
    await agreed.refresh()
    said: Any = {"origin": Origin("mllp", peer), "profiles": agreed.profiles}
    group = [(examine(Frame(Kind.WHOLE, raw), hl7, now, **said), peer) for raw in messages]
    await store(server.database, "mllp", group)


async def done(server: Server, *messages: bytes, peer: str = "10.1.2.3:9") -> list[Any]:
    """Store and process messages; return (state, reason, profile) of every row."""
    await keep(server, *messages, peer=peer)
    await process.run(server, {})
    async with server.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT state, reason, profile FROM hl7_message ORDER BY id"
        )
        return await cursor.fetchall()


async def only(client: httpx.AsyncClient, kind: str) -> dict[str, Any]:
    (entry,) = (await client.get(kind)).json()["entry"]
    found: dict[str, Any] = entry["resource"]
    return found


@pytest.fixture
def configured(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr(kept, "_LOOK_SECONDS", 0.0)
    (tmp_path / "lis.toml").write_text(PROFILE)
    return with_hl7(server, profiles_dir=str(tmp_path))


async def test_each_agreement_is_in_what_the_message_becomes(
    configured: Server, client: httpx.AsyncClient
) -> None:
    ((state, _, label),) = await done(configured, oru())
    assert (state, label.split()[:2]) == ("done", ["lis", "2026-01"])
    patient = await only(client, "Patient")
    assert patient["identifier"][0] == {
        "type": patient["identifier"][0]["type"],
        "system": "https://hospital.example/mrn",
        "value": "P1",
        "assigner": {"display": "City Hospital"},
    }
    order = await only(client, "ServiceRequest")
    assert [one["value"] for one in order["identifier"]] == ["O77", "F1"]
    seen = await only(client, "Observation")
    assert seen["status"] == "final"
    assert seen["effectiveDateTime"] == "2026-01-01T12:00:00+05:30"
    assert [one["code"] for one in seen["code"]["coding"]] == ["2345-7", "GLU"]
    quantity = seen["valueQuantity"]
    assert (quantity["unit"], quantity["code"]) == ("blips", "mmol/L")


async def test_profile_reads_the_text_that_the_settings_cannot(
    configured: Server, client: httpx.AsyncClient
) -> None:
    raw = oru("PID|1||P1^^^HOSP^MR||Џорђе", *SEGMENTS[1:])
    with pytest.raises(UnicodeDecodeError):
        raw.decode(configured.settings.hl7.fallback_charset)
    assert (await done(configured, raw))[0][0] == "done"
    assert (await only(client, "Patient"))["name"] == [{"family": "Џорђе"}]


async def test_message_of_another_address_is_not_that_senders(configured: Server) -> None:
    ((state, _, label),) = await done(configured, oru(), peer="10.9.9.9:1")
    assert (state, label) == ("done", "~LIS-LAB")


async def test_message_from_before_the_profile_is_its_senders_only_where_it_matches(
    configured: Server, server: Server
) -> None:
    await keep(server, oru(), peer="10.9.9.9:1")
    await keep(server, oru(control_id="C2"), peer="10.1.9.9:1")
    labels = [str(row[2]).split()[0] for row in await done(configured)]
    assert labels == ["~LIS-LAB", "lis"]


async def test_two_profiles_that_match_alike_set_the_message_aside(
    configured: Server, tmp_path: Path
) -> None:
    (tmp_path / "other.toml").write_text(PROFILE.replace('sender = "LIS-LAB"', ""))
    ((state, reason, _),) = await done(configured, oru())
    assert (state, reason) == ("dead", "AMBIGUOUS_SENDER")


async def test_profile_that_holds_keeps_back_what_it_cannot_translate(configured: Server) -> None:
    segments = (*SEGMENTS[:2], SEGMENTS[2].replace("GLU", "XYZ"))
    ((state, reason, _),) = await done(configured, oru(*segments))
    assert (state, reason) == ("dead", "UNMAPPED_CODE_HELD")


async def test_next_message_goes_by_the_changed_file(
    configured: Server, tmp_path: Path, client: httpx.AsyncClient
) -> None:
    await done(configured, oru())
    (tmp_path / "lis.toml").write_text(PROFILE.replace("2345-7^Glucose", "14749-6^Glucose"))
    labels = [row[2] for row in await done(configured, oru(control_id="C2"))]
    assert labels[0] != labels[1]
    seen = await only(client, "Observation")
    codes = [one["code"] for one in seen["code"]["coding"]]
    assert codes[0] == "14749-6"


@pytest.mark.parametrize(
    ("equivalence", "status", "codes"),
    [
        ("equivalent", "active", ["2345-7", "SUG"]),
        ("wider", "active", ["2345-7", "SUG"]),
        ("narrower", "active", ["SUG"]),
        ("unmatched", "active", ["SUG"]),
        ("equivalent", "draft", ["SUG"]),
    ],
)
async def test_map_written_by_rest_counts_for_the_next_message(
    configured: Server, client: httpx.AsyncClient, equivalence: str, status: str, codes: list[str]
) -> None:
    await done(configured, oru())  # what is kept of the maps is of before
    base = "http://testserver/fhir"
    target: dict[str, Any] = {"equivalence": equivalence, "comment": "as agreed"}
    if equivalence != "unmatched":
        target["code"] = "2345-7"
    element = {"code": "SUG", "target": [target]}
    group = {
        "source": f"{base}/hl7/LIS-LAB/codes/OBX-3",
        "target": "http://loinc.org",
        "element": [element],
    }
    url = f"{base}/ConceptMap/hl7-LIS-LAB-OBX-3"
    body = {"resourceType": "ConceptMap", "url": url, "status": status, "group": [group]}
    assert (await client.post("ConceptMap", json=body)).status_code == 201
    hl7 = configured.settings.hl7
    (Path(hl7.profiles_dir) / "lis.toml").write_text(PROFILE.replace("hold", "accept"))
    segments = (*SEGMENTS[:2], SEGMENTS[2].replace("GLU", "SUG"))
    await done(configured, oru(*segments, control_id="C2"))
    found = (await client.get("Observation?code=SUG")).json()["entry"]
    assert [[c["code"] for c in e["resource"]["code"]["coding"]] for e in found] == [codes]
