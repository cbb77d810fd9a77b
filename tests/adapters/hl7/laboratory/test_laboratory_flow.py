"""Laboratory messages from the inbox to what REST gives."""

import base64
from itertools import permutations
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.hl7.message.files import messages
from fhir_server.server import Server
from tests.adapters.hl7.conftest import with_hl7
from tests.adapters.hl7.laboratory.sending import found, oru, take
from tests.adapters.hl7.mapping.test_analyzers import EXPECTED as EXPECTED_RESULTS

pytestmark = pytest.mark.anyio

OBR = "OBR|1|O1|F1|LYTES|||20260101120000"
CULTURE = "OBR|1|O1|F1|CULT^Blood culture^L|||20260101120000"
ECOLI = "OBX|1|CWE|600-7^Bacteria^LN|1|112283007^Escherichia coli^SCT||||||F"
SUSC = (
    "OBR|1|O2|F2|SUSC^Susceptibility^L|||20260101120000|||||||||||||||||||"
    "600-7&Bacteria&LN^1^Escherichia coli|||O1^F1"
)
AMPI = "OBX|1|NM|28-1^Ampicillin^LN|1|>=32|ug/mL||R|||F"


async def links(client: httpx.AsyncClient) -> dict[str, Any]:
    """Return what refers to what, by codes in place of ids."""
    observations = await found(client, "/Observation")
    names = {
        f"Observation/{o['id']}": o["code"]["coding"][0]["code"] for o in observations
    } | {
        f"ServiceRequest/{r['id']}": r["code"]["coding"][0]["code"]
        for r in await found(client, "/ServiceRequest")
    }  # fmt: skip
    seen: dict[str, Any] = {}
    for one in [*observations, *await found(client, "/ServiceRequest")]:
        code = one["code"]["coding"][0]["code"]
        for name in ("hasMember", "derivedFrom", "basedOn"):
            for reference in one.get(name, ()):
                seen.setdefault(f"{code} {name}", []).append(names.get(reference.get("reference")))
    return seen


EXPECTED = {
    "600-7 hasMember": ["28-1"],
    "600-7 basedOn": ["CULT"],
    "28-1 derivedFrom": ["600-7"],
    "28-1 basedOn": ["SUSC"],
    "SUSC basedOn": ["CULT"],
}
PARENT, CHILD = oru(CULTURE, ECOLI), oru(SUSC, AMPI, control_id="C2")


@pytest.mark.parametrize(
    "sent",
    [[oru(CULTURE, ECOLI, SUSC, AMPI)], *map(list, permutations([PARENT, CHILD]))],
    ids=["one message", "parent first", "child first"],
)
async def test_parent_and_child_are_linked_in_whatever_order_they_come(
    server: Server, client: httpx.AsyncClient, sent: list[bytes]
) -> None:
    await take(server, *sent)
    assert await links(client) == EXPECTED


async def test_pdf_arrives_byte_identical(server: Server, client: httpx.AsyncClient) -> None:
    pdf = b"%PDF-1.7\n" + bytes(range(256)) * 6000
    data = base64.b64encode(pdf).decode()
    obx = f"OBX|1|ED|PDF^Report^L||LAB^TEXT^PLAIN^Base64^{data}||||||F"
    await take(server, oru(OBR, obx))
    (report,) = await found(client, "/DiagnosticReport")
    (attachment,) = report["presentedForm"]
    assert (attachment["contentType"], attachment["size"]) == ("application/pdf", len(pdf))
    got = await client.get(f"/{attachment['url']}", headers={"Accept": "application/pdf"})
    assert (got.content, got.headers["content-type"]) == (pdf, "application/pdf")
    (document,) = await found(client, f"/DocumentReference?related=DiagnosticReport/{report['id']}")
    assert document["content"] == [{"attachment": attachment}]
    raw = (await client.get(f"/DiagnosticReport/{report['id']}")).content
    assert len(raw) < 4000
    binary = await client.get(f"/{attachment['url']}", headers={"Accept": "application/fhir+json"})
    assert binary.json()["securityContext"] == {"reference": f"DiagnosticReport/{report['id']}"}


async def test_document_that_comes_again_is_not_stored_again(
    server: Server, client: httpx.AsyncClient
) -> None:
    obx = "OBX|1|ED|PDF||^TEXT^PDF^Base64^JVBERi0xLjQK||||||F"
    await take(server, oru(OBR, obx), oru(OBR, obx, control_id="C2"))
    (document,) = await found(client, "/DocumentReference")
    url = document["content"][0]["attachment"]["url"]
    history = (await client.get(f"/{url}/_history")).json()
    assert (document["meta"]["versionId"], len(history["entry"])) == ("1", 1)


async def test_control_is_found_by_its_tag_and_under_no_patient(
    server: Server, client: httpx.AsyncClient
) -> None:
    header = "MSH|^~\\&|LIS|LAB|EHR|H|2026||OUL^R22|C1|P|2.5.1"
    segments = (
        "SPM|1|QC1||SER|||||||Q",
        OBR,
        "OBX|1|NM|GLU^Glucose||500|mg/dL|90-110|HH|||F|||||||COBAS^^SN1",
    )
    await take(server, ("\r".join([header, *segments]) + "\r").encode())
    (observation,) = await found(client, "/Observation?_tag=qc")
    assert observation["subject"]["reference"].startswith("Device/")
    for kind in ("Patient", "DiagnosticReport", "ServiceRequest", "Flag"):
        assert await found(client, f"/{kind}") == []


@pytest.mark.parametrize(
    ("codes", "statuses", "value"),
    [
        ("FC", ["corrected", "final"], 6),
        ("FA", ["amended", "final"], 6),
        ("FB", ["amended", "final"], 6),
        ("CV", ["corrected", "corrected"], 6),
        ("AV", ["amended", "amended"], 6),
        ("FV", ["final", "final"], 6),
        ("PF", ["final", "preliminary"], 6),
        ("FW", ["entered-in-error", "final"], 6),
        ("FD", ["entered-in-error", "final"], 6),
        ("FX", ["cancelled", "final"], 6),
    ],
)
async def test_versions_of_a_result(
    server: Server, client: httpx.AsyncClient, codes: str, statuses: list[str], value: int
) -> None:
    for number, code in enumerate(codes):
        obx = f"OBX|1|NM|GLU||{5 + number}||||||{code}"
        await take(server, oru(OBR, obx, control_id=f"C{number}", at=f"2026010{number + 1}"))
    (observation,) = await found(client, "/Observation")
    history = (await client.get(f"/Observation/{observation['id']}/_history")).json()
    assert [e["resource"]["status"] for e in history["entry"]] == statuses
    assert observation["valueQuantity"] == {"value": value}


@pytest.mark.parametrize("code", ["W", "D", "X", "U"])
async def test_value_is_kept_where_the_message_has_none(
    server: Server, client: httpx.AsyncClient, code: str
) -> None:
    await take(
        server,
        oru(OBR, "OBX|1|NM|GLU||5|mg/dL|||||P"),
        oru(OBR, f"OBX|1|NM|GLU||||||||{code}", control_id="C2"),
    )
    (observation,) = await found(client, "/Observation")
    assert observation["valueQuantity"]["value"] == 5
    assert "dataAbsentReason" not in observation


NA = "OBX|2|NM|NA^Sodium||140|mmol/L|135-145|N|||F"
K = "OBX|1|NM|K^Potassium||7.20|mmol/L|3.5-5.1|HH|||F"


@pytest.mark.parametrize(("whole", "expected"), [(True, "cancelled"), (False, "final")])
async def test_result_that_a_report_no_longer_has(
    server: Server,
    client: httpx.AsyncClient,
    whole: bool,  # noqa: FBT001
    expected: str,
) -> None:
    told = with_hl7(server, snapshot_results=whole)
    again = NA.replace("140", "141")
    await take(told, oru(OBR, K, NA), oru(OBR, again, control_id="C2"))
    (potassium,) = [
        o for o in await found(client, "/Observation") if o["code"]["coding"][0]["code"] == "K"
    ]
    assert (potassium["status"], str(potassium["valueQuantity"]["value"])) == (expected, "7.2")
    (flag,) = await found(client, "/Flag")
    assert flag["status"] == ("inactive" if whole else "active")


async def test_digits_and_offsets_arrive_as_they_were_sent(
    server: Server, client: httpx.AsyncClient
) -> None:
    obr = "OBR|1|O1|F1|LYTES|||20260101120000-0800"
    await take(server, oru(obr, "OBX|1|NM|LAC||1.40|mmol/L|0.50-2.20||||F", at="20260102-0800"))
    (entry,) = (await client.get("/Observation")).json()["entry"]
    raw = (await client.get(f"/Observation/{entry['resource']['id']}")).content
    for said in (b'"value":1.40', b'"value":0.50', b'"value":2.20', b"T12:00:00-08:00"):
        assert said in raw.replace(b": ", b":")


async def test_messages_of_analyzers_are_found_by_rest(
    server: Server, client: httpx.AsyncClient, shared: Path
) -> None:
    """What each of them becomes is in test_analyzers; here they meet the server."""
    files = sorted((shared / "data/hl7v2/analyzers").glob("*/*.hl7"))
    await take(server, *(raw for file in files for raw in messages(file.read_bytes())))
    bundle = (await client.get("/Observation?_summary=count")).json()
    assert bundle["total"] == sum(len(row[2]) for row in EXPECTED_RESULTS.values())
    assert await found(client, "/Flag") == []
