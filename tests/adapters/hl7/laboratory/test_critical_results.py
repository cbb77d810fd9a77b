from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from adapters.hl7 import metrics
from adapters.hl7.laboratory import following
from adapters.hl7.laboratory.figures import figures
from fhir_server.errors import Unprocessable
from fhir_server.server import Server
from tests.adapters.hl7.conftest import with_hl7
from tests.adapters.hl7.laboratory.sending import found, look, oru, take

pytestmark = pytest.mark.anyio

OBR = "OBR|1|O1|F1|LYTES^Electrolytes|||20260101120000|||||||||D7^Mehta^Ravi^^^Dr.^^^NMC"
CRITICAL = "OBX|1|NM|K^Potassium||7.20|mmol/L|3.5-5.1|HH|||F"


async def statuses(client: httpx.AsyncClient) -> tuple[list[str], list[str], list[str]]:
    """Return the statuses of the Flags, CommunicationRequests and Tasks."""
    kinds = ("Flag", "CommunicationRequest", "Task")
    flags, requests, tasks = [
        sorted(one["status"] for one in await found(client, f"/{kind}")) for kind in kinds
    ]
    return flags, requests, tasks


async def test_critical_result_is_told_to_who_ordered(
    server: Server, client: httpx.AsyncClient
) -> None:
    before = metrics.critical.labels("high")._value.get()  # noqa: SLF001
    await take(server, oru(OBR, CRITICAL, "OBX|2|NM|NA^Sodium||140|mmol/L|135-145|N|||F"))
    observation = next(
        o for o in await found(client, "/Observation") if o["valueQuantity"]["unit"] == "mmol/L"
        and o["code"]["coding"][0]["code"] == "K"
    )  # fmt: skip
    seen = {"reference": f"Observation/{observation['id']}"}
    (request,) = await found(client, f"/CommunicationRequest?subject={reference(observation)}")
    (practitioner,) = await found(client, "/Practitioner")
    (order,) = await found(client, "/ServiceRequest")
    text = "Critical result (high): Potassium 7.20 mmol/L, reference range 3.5-5.1"
    assert (request["status"], request["priority"]) == ("active", "stat")
    assert request["about"] == request["reasonReference"] == [seen]
    assert request["payload"] == [{"contentString": text}, {"contentReference": seen}]
    assert request["recipient"] == [{"reference": f"Practitioner/{practitioner['id']}"}]
    assert request["basedOn"] == [{"reference": f"ServiceRequest/{order['id']}"}]
    (flag,) = await found(client, f"/Flag?patient={reference(observation)}")
    assert (flag["status"], flag["code"]["text"]) == ("active", text)
    assert flag["code"]["coding"][0]["code"] == "HH"
    assert flag["extension"][0]["valueReference"] == seen
    assert await found(client, "/Task") == []
    assert metrics.critical.labels("high")._value.get() == before + 1  # noqa: SLF001


def reference(observation: dict[str, Any]) -> str:
    return str(observation["subject"]["reference"])


async def test_repeat_and_correction_raise_nothing_new(
    server: Server, client: httpx.AsyncClient
) -> None:
    await take(
        server,
        oru(OBR, CRITICAL),
        oru(OBR, CRITICAL, control_id="C2"),
        oru(OBR, CRITICAL.replace("7.20", "7.30").replace("|F", "|C"), control_id="C3"),
    )
    assert await statuses(client) == (["active"], ["active"], [])
    (request,) = await found(client, "/CommunicationRequest")
    assert request["meta"]["versionId"] == "1"


async def test_critical_code_of_a_profile_is_not_needed_where_the_range_says_it(
    server: Server, client: httpx.AsyncClient
) -> None:
    await take(server, oru(OBR, "OBX|1|NM|GLU||500|mg/dL|70-110||||F"))
    (flag,) = await found(client, "/Flag")
    assert flag["code"]["coding"][0]["code"] == "HH"


@pytest.mark.parametrize(
    ("correction", "flag", "request_"),
    [
        ("OBX|1|NM|K^Potassium||4.20|mmol/L|3.5-5.1|N|||C", "inactive", "revoked"),
        ("OBX|1|NM|K^Potassium||7.20|mmol/L|3.5-5.1|HH|||W", *["entered-in-error"] * 2),
        ("OBX|1|NM|K^Potassium||||||||X", "inactive", "revoked"),
    ],
    ids=["normal", "wrong patient", "cancelled"],
)
async def test_correction_withdraws(
    server: Server, client: httpx.AsyncClient, correction: str, flag: str, request_: str
) -> None:
    await take(server, oru(OBR, CRITICAL), oru(OBR, correction, control_id="C2"))
    assert await statuses(client) == ([flag], [request_], [])
    await look(server)
    assert await statuses(client) == ([flag], [request_], [])


async def test_result_that_becomes_critical_again_opens_the_same_alert(
    server: Server, client: httpx.AsyncClient
) -> None:
    normal = "OBX|1|NM|K^Potassium||4.20|mmol/L|3.5-5.1|N|||C"
    again = CRITICAL.replace("|F", "|C")
    await take(
        server, oru(OBR, CRITICAL), oru(OBR, normal, control_id="C2"),
        oru(OBR, again, control_id="C3"),
    )  # fmt: skip
    assert await statuses(client) == (["active"], ["active"], [])


async def open_rows(server: Server) -> list[tuple[Any, ...]]:
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT state FROM hl7_critical ORDER BY raised_at")
        return await cursor.fetchall()


async def gauges(server: Server) -> tuple[float | None, bool]:
    """Return how many are awaited, and whether the oldest has an age."""
    registry = CollectorRegistry()
    async with server.database.connection() as connection:
        await figures(connection, registry)
    age = registry.get_sample_value("hl7_critical_oldest_seconds") or 0
    return registry.get_sample_value("hl7_critical_open"), age > 0


async def test_completed_request_is_an_acknowledgement(
    server: Server, client: httpx.AsyncClient
) -> None:
    await take(server, oru(OBR, CRITICAL))
    await look(server)
    assert await open_rows(server) == [("open",)]
    assert await gauges(server) == (1, True)
    (request,) = await found(client, "/CommunicationRequest")
    done = await client.put(
        f"/CommunicationRequest/{request['id']}", json={**request, "status": "completed"}
    )
    assert done.status_code == 200
    await look(server)
    assert await statuses(client) == (["inactive"], ["completed"], [])
    assert await open_rows(server) == [("acknowledged",)]
    assert await gauges(server) == (0, False)


async def test_communication_on_the_request_is_an_acknowledgement(
    server: Server, client: httpx.AsyncClient
) -> None:
    await take(server, oru(OBR, CRITICAL), oru(OBR.replace("F1", "F2"), CRITICAL, control_id="C2"))
    first, _ = await found(client, "/CommunicationRequest?_sort=_lastUpdated")
    told = {
        "resourceType": "Communication",
        "status": "completed",
        "basedOn": [{"reference": f"CommunicationRequest/{first['id']}"}],
    }
    assert (await client.post("/Communication", json=told)).status_code == 201
    await look(server)
    assert await statuses(client) == (["active", "inactive"], ["active", "completed"], [])


@pytest.mark.parametrize(
    "form",
    ["{}", "http://testserver/fhir/{}", "{}/_history/1"],
    ids=["relative", "absolute", "of a version"],
)
async def test_communication_may_refer_to_the_request_in_any_form(
    server: Server, client: httpx.AsyncClient, form: str
) -> None:
    await take(server, oru(OBR, CRITICAL))
    await look(server)
    (request,) = await found(client, "/CommunicationRequest")
    told_of = form.format(f"CommunicationRequest/{request['id']}")
    told = {
        "resourceType": "Communication",
        "status": "completed",
        "basedOn": [{"reference": told_of}],
    }
    assert (await client.post("/Communication", json=told)).status_code == 201
    await look(server)
    assert await open_rows(server) == [("acknowledged",)]


async def test_communication_that_is_not_completed_acknowledges_nothing(
    server: Server, client: httpx.AsyncClient
) -> None:
    await take(server, oru(OBR, CRITICAL))
    (request,) = await found(client, "/CommunicationRequest")
    told = {
        "resourceType": "Communication",
        "status": "in-progress",
        "basedOn": [{"reference": f"CommunicationRequest/{request['id']}"}],
    }
    assert (await client.post("/Communication", json=told)).status_code == 201
    await look(server)
    assert await open_rows(server) == [("open",)]


async def test_acknowledged_result_that_is_critical_in_another_way_is_told_again(
    server: Server, client: httpx.AsyncClient
) -> None:
    await take(server, oru(OBR, CRITICAL))
    (request,) = await found(client, "/CommunicationRequest")
    await client.put(
        f"/CommunicationRequest/{request['id']}", json={**request, "status": "completed"}
    )
    await look(server)
    low = "OBX|1|NM|K^Potassium||2.10|mmol/L|3.5-5.1|LL|||C"
    await take(server, oru(OBR, low, control_id="C2"))
    assert await statuses(client) == (["active"], ["active"], [])
    (request,) = await found(client, "/CommunicationRequest")
    assert request["payload"][0]["contentString"].startswith("Critical result (low)")


async def test_unacknowledged_result_becomes_one_task(
    server: Server, client: httpx.AsyncClient
) -> None:
    soon = with_hl7(server, critical_escalation_seconds=1e-6)
    await take(soon, oru(OBR, CRITICAL))
    await look(soon)
    await look(soon)
    (task,) = await found(client, "/Task")
    (request,) = await found(client, "/CommunicationRequest")
    assert task["focus"] == {"reference": f"CommunicationRequest/{request['id']}"}
    assert (task["status"], task["owner"], task["for"]) == (
        "requested", request["recipient"][0], request["subject"],
    )  # fmt: skip
    await client.put(
        f"/CommunicationRequest/{request['id']}", json={**request, "status": "completed"}
    )
    await look(soon)
    assert await statuses(client) == (["inactive"], ["completed"], ["completed"])


async def test_request_that_was_deleted_is_not_escalated(
    server: Server, client: httpx.AsyncClient
) -> None:
    soon = with_hl7(server, critical_escalation_seconds=1e-6)
    await take(soon, oru(OBR, CRITICAL))
    (request,) = await found(client, "/CommunicationRequest")
    assert (await client.delete(f"/CommunicationRequest/{request['id']}")).status_code < 300
    await look(soon)
    assert await statuses(client) == (["inactive"], [], [])


async def rewrite(client: httpx.AsyncClient, request: dict[str, Any], **said: Any) -> None:
    """Put a request with its status and patient only, and what is said."""
    kept = {name: request[name] for name in ("resourceType", "id", "status", "subject")}
    url = f"/CommunicationRequest/{request['id']}"
    assert (await client.put(url, json={**kept, **said})).status_code == 200


async def test_request_that_somebody_rewrote_is_escalated_with_the_others(
    server: Server, client: httpx.AsyncClient
) -> None:
    soon = with_hl7(server, critical_escalation_seconds=1e-6)
    other = OBR.replace("O1|F1", "O2|F2")
    await take(soon, oru(OBR, CRITICAL), oru(other, CRITICAL, control_id="C2"))
    first, _ = await found(client, "/CommunicationRequest?_sort=_lastUpdated")
    organization = (await client.post("/Organization", json={
        "resourceType": "Organization", "name": "Ward 7",
    })).json()  # fmt: skip
    ward = {"reference": f"Organization/{organization['id']}"}
    await rewrite(client, first, status="on-hold", recipient=[ward])
    await look(soon)
    tasks = await found(client, "/Task?_sort=_lastUpdated")
    focus = [one["focus"]["reference"].partition("/")[2] for one in tasks]
    (task,) = [one for one, id_ in zip(tasks, focus, strict=True) if id_ == first["id"]]
    assert len(tasks) == 2
    assert task["owner"] == ward
    assert task["reasonReference"] == first["about"][0]
    assert "identifier" not in task


async def test_who_is_gone_is_not_asked_to_acknowledge(
    server: Server, client: httpx.AsyncClient
) -> None:
    soon = with_hl7(server, critical_escalation_seconds=1e-6, critical_recipient="Organization/w")
    await client.put("/Organization/w", json={
        "resourceType": "Organization", "id": "w", "name": "Ward",
    })  # fmt: skip
    await take(soon, oru(OBR.partition("||||||||D7")[0], CRITICAL))
    (request,) = await found(client, "/CommunicationRequest")
    assert request["recipient"] == [{"reference": "Organization/w"}]
    await rewrite(client, request)
    assert (await client.delete("/Organization/w")).status_code < 300
    await look(soon)
    (task,) = await found(client, "/Task")
    assert "owner" not in task


async def test_what_one_result_cannot_have_written_keeps_no_other_waiting(
    server: Server, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = with_hl7(server, critical_escalation_seconds=1e-6)
    other = OBR.replace("O1|F1", "O2|F2")
    await take(soon, oru(OBR, CRITICAL), oru(other, CRITICAL, control_id="C2"))
    refused, told = await found(client, "/CommunicationRequest?_sort=_lastUpdated")
    write = following.write_task

    async def write_task(*given: Any) -> str:
        if given[4] == refused["id"]:
            raise Unprocessable("no")
        return await write(*given)

    monkeypatch.setattr(following, "write_task", write_task)
    await look(soon)
    (task,) = await found(client, "/Task")
    assert task["focus"]["reference"].endswith(told["id"])
    assert await open_rows(server) == [("open",), ("open",)]


async def test_request_that_is_on_hold_is_still_awaited(
    server: Server, client: httpx.AsyncClient
) -> None:
    await take(server, oru(OBR, CRITICAL))
    (request,) = await found(client, "/CommunicationRequest")
    held = {**request, "status": "on-hold"}
    await client.put(f"/CommunicationRequest/{request['id']}", json=held)
    await look(server)
    assert await open_rows(server) == [("open",)]


async def tell(client: httpx.AsyncClient, request: dict[str, Any]) -> None:
    told = {
        "resourceType": "Communication",
        "status": "completed",
        "basedOn": [{"reference": f"CommunicationRequest/{request['id']}"}],
    }
    assert (await client.post("/Communication", json=told)).status_code == 201


async def test_communication_answers_nothing_that_is_raised_after_it(
    server: Server, client: httpx.AsyncClient
) -> None:
    await take(server, oru(OBR, CRITICAL))
    (request,) = await found(client, "/CommunicationRequest")
    await tell(client, request)
    await look(server)
    low = "OBX|1|NM|K^Potassium||2.10|mmol/L|3.5-5.1|LL|||C"
    await take(server, oru(OBR, low, control_id="C2"))
    await look(server)
    assert await open_rows(server) == [("open",)]
    await tell(client, request)
    await look(server)
    assert await open_rows(server) == [("acknowledged",)]


async def test_look_costs_what_changed_and_not_what_is_open(
    server: Server, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await take(server, *(oru(OBR.replace("F1", f"F{n}"), CRITICAL, control_id=n) for n in "123"))
    await look(server)
    first, *_ = await found(client, "/CommunicationRequest?_sort=_lastUpdated")
    await tell(client, first)
    looked: list[str] = []
    close = following._close  # noqa: SLF001

    async def seen(server: Server, observation_id: str) -> bool:
        looked.append(f"Observation/{observation_id}")
        return await close(server, observation_id)

    monkeypatch.setattr(following, "_close", seen)
    await look(server)
    assert looked == [first["about"][0]["reference"]]
    await look(server)
    assert looked == [first["about"][0]["reference"]]


async def test_answer_to_what_a_message_holds_is_taken_up_afterwards(
    server: Server, client: httpx.AsyncClient
) -> None:
    await take(server, oru(OBR, CRITICAL))
    await look(server)
    (request,) = await found(client, "/CommunicationRequest")
    await tell(client, request)
    async with server.database.transaction() as connection:
        await connection.execute("SELECT FROM hl7_critical FOR UPDATE")
        await look(server)
    assert await open_rows(server) == [("open",)]
    await look(server)
    assert await open_rows(server) == [("acknowledged",)]


async def test_answer_that_is_not_yet_shown_is_not_escalated(
    server: Server, client: httpx.AsyncClient
) -> None:
    soon = with_hl7(server, critical_escalation_seconds=1e-6)
    await take(server, oru(OBR, CRITICAL))
    await look(server)
    (request,) = await found(client, "/CommunicationRequest")
    async with server.database.transaction() as connection:
        await connection.execute("SELECT pg_current_xact_id()")
        await tell(client, request)
        await look(server)
        assert await open_rows(server) == [("open",)]
        await look(soon)
    assert await statuses(client) == (["inactive"], ["completed"], [])


async def test_request_that_was_deleted_is_awaited_no_more(
    server: Server, client: httpx.AsyncClient
) -> None:
    at_once = with_hl7(server, critical_result_task=True)
    await take(at_once, oru(OBR, CRITICAL))
    await look(at_once)
    (request,) = await found(client, "/CommunicationRequest")
    (task,) = await found(client, "/Task")
    assert (await client.delete(f"/Task/{task['id']}")).status_code < 300
    assert (await client.delete(f"/CommunicationRequest/{request['id']}")).status_code < 300
    await look(at_once)
    assert await open_rows(server) == [("acknowledged",)]


async def test_no_task_before_the_time(server: Server, client: httpx.AsyncClient) -> None:
    await take(server, oru(OBR, CRITICAL))
    await look(server)
    assert await found(client, "/Task") == []


async def test_task_at_once_by_setting(server: Server, client: httpx.AsyncClient) -> None:
    await take(with_hl7(server, critical_result_task=True), oru(OBR, CRITICAL))
    (task,) = await found(client, "/Task")
    (request,) = await found(client, "/CommunicationRequest")
    assert task["owner"] == request["recipient"][0]
    normal = "OBX|1|NM|K^Potassium||4.20|mmol/L|3.5-5.1|N|||C"
    await take(server, oru(OBR, normal, control_id="C2"))
    assert await statuses(client) == (["inactive"], ["revoked"], ["cancelled"])


async def test_who_is_agreed_is_told_where_nobody_ordered(
    server: Server, client: httpx.AsyncClient
) -> None:
    desk = {"resourceType": "Organization", "id": "desk", "name": "Laboratory desk"}
    assert (await client.put("/Organization/desk", json=desk)).status_code == 201
    agreed = with_hl7(server, critical_recipient="Organization/desk")
    await take(agreed, oru("OBR|1|O1|F1|LYTES", CRITICAL))
    (request,) = await found(client, "/CommunicationRequest")
    assert request["recipient"] == [{"reference": "Organization/desk"}]


async def test_result_is_stored_where_the_agreed_recipient_is_not_there(
    server: Server, client: httpx.AsyncClient
) -> None:
    agreed = with_hl7(server, critical_recipient="Organization/nobody")
    await take(agreed, oru("OBR|1|O1|F1|LYTES", CRITICAL))
    (request,) = await found(client, "/CommunicationRequest")
    assert "recipient" not in request


async def test_person_without_a_number_is_told_as_contained(
    server: Server, client: httpx.AsyncClient
) -> None:
    await take(server, oru("OBR|1|O1|F1|LYTES||||||||||||^Mehta^Ravi", CRITICAL))
    (request,) = await found(client, "/CommunicationRequest")
    (person,) = request["contained"]
    assert request["recipient"] == [{"reference": f"#{person['id']}"}]
    assert person["name"][0]["family"] == "Mehta"


async def test_alerts_may_be_off(server: Server, client: httpx.AsyncClient) -> None:
    await take(with_hl7(server, critical_alerts=False), oru(OBR, CRITICAL))
    assert await statuses(client) == ([], [], [])
