"""The life of an order by its messages, in whatever order they come."""

from typing import Any

import httpx
import pytest

from fhir_server.server import Server
from tests.adapters.hl7.inbox.test_hl7_process import done, found

pytestmark = pytest.mark.anyio

PID = "PID|1||P1^^^H^MR||Rao^Asha||19800102|F"


def sent(kind: str, *segments: str, control_id: str, hour: int = 8) -> bytes:
    start = f"MSH|^~\\&|HIS|W1|EHR|H|202601020{hour}0000+0000||{kind}|{control_id}|P|2.5.1"
    return ("\r".join([start, PID, *segments]) + "\r").encode()


def ordered(
    control: str, control_id: str, hour: int = 8, status: str = "", code: str = "GLU"
) -> bytes:
    orc = f"ORC|{control}|O1^HIS|F1^LIS||{status}||||202601020{hour}0000+0000"
    obr = f"OBR|1|O1^HIS|F1^LIS|{code}^Glucose^L"
    return sent("OML^O21", orc, obr, control_id=control_id, hour=hour)


def resulted(control_id: str, hour: int = 9, status: str = "F", orc: str = "RE") -> bytes:
    obr = f"OBR|1|O1^HIS|F1^LIS|GLU^Glucose^L|||||||||||||||||||||{status}"
    obx = f"OBX|1|NM|GLU^Glucose^L||5.1|mmol/L|||||{status}"
    segments = [f"ORC|{orc}|O1^HIS|F1^LIS"] if orc else []
    return sent("ORU^R01", *segments, obr, obx, control_id=control_id, hour=hour)


async def one(client: httpx.AsyncClient, kind: str) -> dict[str, Any]:
    (resource,) = await found(client, f"/{kind}")
    return resource


def version(resource: dict[str, Any]) -> int:
    return int(resource["meta"]["versionId"])


@pytest.mark.parametrize(
    ("messages", "status"),
    [
        ((ordered("OH", "1"), ordered("SC", "2", 9)), "on-hold"),
        ((ordered("NW", "1"), ordered("SC", "2", 9, "CM")), "completed"),
        ((ordered("NW", "1"), ordered("CA", "2", 8), ordered("CR", "3", 9)), "revoked"),
        ((ordered("NW", "1"), ordered("CA", "2", 8), ordered("UC", "3", 9)), "active"),
        ((ordered("DC", "1"), ordered("NW", "2", 9)), "revoked"),
        ((ordered("NW", "1"), resulted("2")), "completed"),
        ((ordered("NW", "1"), resulted("2", status="P")), "active"),
        ((ordered("NW", "1"), resulted("2", status="X")), "revoked"),
        ((resulted("1"), ordered("NW", "2")), "completed"),
        ((ordered("NW", "1"), resulted("2", orc="")), "completed"),
        ((ordered("OH", "1"), resulted("2", orc="", status="P")), "on-hold"),
        ((resulted("1", orc=""), ordered("NW", "2")), "completed"),
        ((resulted("1", orc="", status="P"), ordered("NW", "2")), "active"),
        ((ordered("NW", "1"), ordered("SN", "2", 9, "ER")), "entered-in-error"),
    ],
    ids=[
        *("held", "told-completed", "cancelled", "not-cancelled", "discontinued-then-new"),
        *("final", "preliminary", "result-cancelled", "result-first"),
        *("final-without-orc", "preliminary-without-orc", "result-without-orc-first"),
        *("preliminary-without-orc-first", "an-error"),
    ],
)
async def test_status_of_an_order_after_its_messages(
    server: Server, client: httpx.AsyncClient, messages: tuple[bytes, ...], status: str
) -> None:
    assert set(await done(server, *messages)) == {("done", None)}
    assert (await one(client, "ServiceRequest"))["status"] == status


async def test_order_after_its_result_tells_who_asked(
    server: Server, client: httpx.AsyncClient
) -> None:
    orc = "ORC|NW|O1^HIS|F1^LIS||||||20260102080000+0000|||9^Doc^Cy^^^^^^H"
    order = sent("OML^O21", orc, "OBR|1|O1^HIS||GLU^Glucose^L", control_id="2")
    assert await done(server, resulted("1"), order) == [("done", None)] * 2
    request = await one(client, "ServiceRequest")
    assert request["authoredOn"] == "2026-01-02T08:00:00+00:00"
    assert request["requester"]["reference"].startswith("PractitionerRole/")
    report = await one(client, "DiagnosticReport")
    assert report["basedOn"] == [{"reference": f"ServiceRequest/{request['id']}"}]


async def test_request_to_cancel_is_one_task_that_its_answer_ends(
    server: Server, client: httpx.AsyncClient
) -> None:
    await done(server, ordered("NW", "1"), ordered("CA", "2", 9))
    asked = await one(client, "Task")
    order = await one(client, "ServiceRequest")
    assert (asked["status"], asked["focus"]) == (
        "requested",
        {"reference": f"ServiceRequest/{order['id']}"},
    )
    await done(server, ordered("CR", "3", 9))
    assert (await one(client, "Task"))["status"] == "completed"


async def test_replacement_names_the_order_that_it_replaces(
    server: Server, client: httpx.AsyncClient
) -> None:
    await done(server, ordered("NW", "1"))
    segments = (
        "ORC|RP|O1^HIS|F1^LIS||||||20260102090000+0000",
        "OBR|1|O1^HIS||GLU^Glucose^L",
        "ORC|RO|O2^HIS|||||||20260102090000+0000",
        "OBR|2|O2^HIS||GLUF^Glucose fasting^L",
    )
    await done(server, sent("OML^O21", *segments, control_id="2", hour=9))
    orders = await found(client, "/ServiceRequest")
    by_number = {order["identifier"][0]["value"]: order for order in orders}
    assert by_number["O1"]["status"] == "revoked"
    assert by_number["O2"]["status"] == "active"
    assert by_number["O2"]["replaces"] == [{"reference": f"ServiceRequest/{by_number['O1']['id']}"}]


async def test_history_of_an_order_is_written_once(
    server: Server, client: httpx.AsyncClient
) -> None:
    again = ordered("NW", "2")
    await done(server, ordered("NW", "1"), again, ordered("XO", "3", 9))
    order = await one(client, "ServiceRequest")
    query = f"/Provenance?target=ServiceRequest/{order['id']}"
    activities = [
        entry["activity"]["coding"][0]["code"]
        for entry in await found(client, query)
        if entry["activity"]["coding"][0]["system"].endswith("DataOperation")
    ]
    assert sorted(activities) == ["CREATE", "UPDATE"]


async def test_specimen_of_an_order_is_that_of_its_result(
    server: Server, client: httpx.AsyncClient
) -> None:
    spm = "SPM|1|S1&HIS||SER^Serum^HL70487"
    order = sent("OML^O21", "ORC|NW|O1^HIS", "OBR|1|O1^HIS||GLU^Glucose^L", spm, control_id="1")
    result = sent(
        "ORU^R01",
        "ORC|RE|O1^HIS|F1^LIS",
        "OBR|1|O1^HIS|F1^LIS|GLU^Glucose^L|||20260102083000+0000",
        "OBX|1|NM|GLU^Glucose^L||5.1|mmol/L|||||F",
        f"{spm}|||||||||||||20260102083000+0000",
        control_id="2",
        hour=9,
    )
    assert await done(server, order, result) == [("done", None)] * 2
    specimen = await one(client, "Specimen")
    request = await one(client, "ServiceRequest")
    assert request["specimen"] == [{"reference": f"Specimen/{specimen['id']}"}]
    assert specimen["collection"]["collectedDateTime"] == "2026-01-02T08:30:00+00:00"


async def test_child_order_refers_to_its_parent_whenever_that_comes(
    server: Server, client: httpx.AsyncClient
) -> None:
    child = sent(
        "OML^O21",
        "ORC|CH|O2^HIS||||||O1&HIS",
        "OBR|1|O2^HIS||SENS^Susceptibility^L",
        control_id="1",
    )
    await done(server, child, ordered("NW", "2"))
    orders = await found(client, "/ServiceRequest")
    by_number = {order["identifier"][0]["value"]: order for order in orders}
    assert by_number["O2"]["basedOn"] == [{"reference": f"ServiceRequest/{by_number['O1']['id']}"}]


async def test_appointment_is_moved_and_cancelled(
    server: Server, client: httpx.AsyncClient
) -> None:
    def booked(event: str, start: str, control_id: str, hour: int) -> bytes:
        sch = f"SCH|A1^HIS|B1^LIS||||R^Moved|||30|min|^^^{start}+0000"
        aip = "AIP|1||8^Doc^Ann^^^^^^H|D^Doctor"
        return sent(f"SIU^{event}", sch, "RGS|1", aip, control_id=control_id, hour=hour)

    await done(server, booked("S12", "20260105090000", "1", 7))
    await done(server, booked("S13", "20260106100000", "2", 8))
    found_ = await one(client, "Appointment")
    assert (found_["status"], found_["start"], found_["end"]) == (
        "booked",
        "2026-01-06T10:00:00+00:00",
        "2026-01-06T10:30:00+00:00",
    )
    assert len(found_["participant"]) == 2
    await done(server, booked("S15", "20260106100000", "3", 9))
    cancelled = await one(client, "Appointment")
    assert cancelled["status"] == "cancelled"
    assert cancelled["cancelationReason"]["coding"][0]["display"] == "Moved"


async def test_replaced_document_is_superseded_in_whatever_order(
    server: Server, client: httpx.AsyncClient
) -> None:
    def written(event: str, number: str, text: str, hour: int, parent: str = "") -> bytes:
        txa = f"TXA|1|DS^Discharge^L|TX|||||||||{number}^HIS|{parent}||||AU||AV"
        obx = f"OBX|1|TX|DS^Discharge^L||{text}||||||F"
        return sent(f"MDM^{event}", txa, obx, control_id=f"{event}{number}", hour=hour)

    new = written("T10", "D2", "second", 9, "D1^HIS")
    old = written("T02", "D1", "first", 8)
    assert await done(server, new, old) == [("done", None)] * 2
    documents = await found(client, "/DocumentReference")
    by_number = {one["masterIdentifier"]["value"]: one for one in documents}
    assert by_number["D1"]["status"] == "superseded"
    assert by_number["D1"]["content"][0]["attachment"]["title"] == "Discharge"
    assert by_number["D2"]["status"] == "current"
    (related,) = by_number["D2"]["relatesTo"]
    assert related["code"] == "replaces"
    assert related["target"]["reference"] == f"DocumentReference/{by_number['D1']['id']}"


async def test_notice_of_a_document_keeps_its_content(
    server: Server, client: httpx.AsyncClient
) -> None:
    txa = "TXA|1|DS^Discharge^L|TX|||||||||D1^HIS|||||{}||AV"
    first = sent(
        "MDM^T02", txa.format("IP"), "OBX|1|TX|DS^Discharge^L||text", control_id="1", hour=8
    )
    second = sent("MDM^T03", txa.format("LA"), control_id="2", hour=9)
    await done(server, first, second)
    document = await one(client, "DocumentReference")
    assert document["docStatus"] == "final"
    assert document["content"][0]["attachment"]["size"] == 4


async def test_immunization_is_corrected_under_its_filler_number(
    server: Server, client: httpx.AsyncClient
) -> None:
    def given(lot: str, action: str, control_id: str, hour: int) -> bytes:
        rxa = f"RXA|0|1|20260101||08^HepB^CVX|0.5|mL^^UCUM||||||||{lot}|||||CP|{action}"
        return sent("VXU^V04", "ORC|RE||I1^LIS", rxa, control_id=control_id, hour=hour)

    await done(server, given("L1", "A", "1", 7), given("L2", "U", "2", 8))
    corrected = await one(client, "Immunization")
    assert (corrected["status"], corrected["lotNumber"]) == ("completed", "L2")
    await done(server, given("L2", "D", "3", 9))
    assert (await one(client, "Immunization"))["status"] == "entered-in-error"


async def test_charge_with_a_transaction_number_is_one_item(
    server: Server, client: httpx.AsyncClient
) -> None:
    ft1 = "FT1|1|T1||20260101||CG|99213^Visit^C4|||{}"
    await done(server, sent("DFT^P03", ft1.format(1), control_id="1", hour=7))
    await done(server, sent("DFT^P03", ft1.format(2), control_id="2", hour=8))
    item = await one(client, "ChargeItem")
    assert item["quantity"] == {"value": 2}
    assert version(item) == 2


async def test_orders_of_one_accession_and_code_are_two(
    server: Server, client: httpx.AsyncClient
) -> None:
    both = [
        segment
        for number, hour in (("O1", "08"), ("O2", "11"))
        for segment in (
            f"OBR|1|{number}^HIS|ACC^LIS|GLU^Glucose^L|||20260102{hour}0000+0000",
            f"OBX|1|NM|GLU^Glucose^L||{hour}|mmol/L|||||F",
        )
    ]
    second = [both[2], both[3].replace("11|mmol/L|||||F", "12|mmol/L|||||C")]
    messages = (
        sent("ORU^R01", *both, control_id="1"),
        sent("ORU^R01", *second, control_id="2", hour=9),
    )
    # Which of the two the second message means cannot be said, so it replaces neither.
    assert await done(server, *messages) == [("done", None), ("dead", "AMBIGUOUS_ORDER")]
    orders = {
        f"ServiceRequest/{one['id']}": one["identifier"][0]["value"]
        for one in await found(client, "/ServiceRequest")
    }
    assert sorted(orders.values()) == ["O1", "O2"]
    values = {
        orders[one["basedOn"][0]["reference"]]: one["valueQuantity"]["value"]
        for one in await found(client, "/Observation")
    }
    assert values == {"O1": 8, "O2": 11}


async def test_order_has_the_filler_number_of_its_result(
    server: Server, client: httpx.AsyncClient
) -> None:
    order = sent("OML^O21", "ORC|NW|O1^HIS", "OBR|1|O1^HIS||GLU^Glucose^L", control_id="1")
    by_filler = resulted("3").replace(b"O1^HIS", b"")
    assert set(await done(server, order, resulted("2"), by_filler)) == {("done", None)}
    found_order = await one(client, "ServiceRequest")
    assert [one["value"] for one in found_order["identifier"]] == ["O1", "F1"]


async def test_result_with_more_codes_under_the_number_of_an_order_answers_it(
    server: Server, client: httpx.AsyncClient
) -> None:
    order = sent("OML^O21", "ORC|NW|O1^HIS", "OBR|1|O1^HIS||GLU^Glucose^L", control_id="1")
    codes = ("GLU^Glucose^L", "LIP^Lipids^L")
    segments = [f"OBR|{n}|O1^HIS|F{n}^LIS|{code}|{'|' * 20}F" for n, code in enumerate(codes, 1)]
    answers = (sent("ORU^R01", *segments, control_id=one, hour=9) for one in ("2", "3"))
    assert set(await done(server, order, *answers)) == {("done", None)}
    found_orders = {
        one["code"]["coding"][0]["code"]: one["status"]
        for one in await found(client, "/ServiceRequest")
    }
    assert found_orders == {"GLU": "completed", "LIP": "completed"}
    assert len(await found(client, "/ServiceRequest")) == len(codes)
