"""What operators see and do over HTTP."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.hl7.inbox import process
from adapters.hl7.operators import payloads
from adapters.hl7.operators.api import routes
from fhir_server.api.app import create_app
from fhir_server.server import Server
from tests.adapters.hl7.conftest import with_hl7
from tests.adapters.hl7.inbox.joining import A, B, adt, done, keep, result, rows

pytestmark = pytest.mark.anyio
SECRETS = ("Rao", "Asha", "19800102", "4.75")


@pytest.fixture
async def web(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=create_app(server, (), routes(server)))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver/hl7") as http:
        yield http


@pytest.fixture
async def inbox(server: Server) -> list[tuple[Any, ...]]:
    """Three messages: done, dead (the result number of somebody else), stored."""
    left = await done(server, result(B, "F1", "4.75"), result(A, "F1", "4.75"))
    assert left == [("dead", "PATIENT_CONFLICT")]
    await keep(server, result(A, "F3"))
    return await rows(server)


async def get(web: httpx.AsyncClient, path: str) -> Any:
    response = await web.get(path)
    assert response.status_code == 200, response.text
    return response.json()


async def ids(web: httpx.AsyncClient, query: str) -> list[int]:
    return [one["id"] for one in (await get(web, f"/messages?{query}"))["messages"]]


async def audited(server: Server) -> int:
    async with server.database.connection() as connection:
        query = "SELECT count(*) FROM resource WHERE type_id = %s"
        values = (server.definitions.type_ids["AuditEvent"],)
        row = await (await connection.execute(query, values)).fetchone()
        assert row is not None
        return int(row[0])


@pytest.mark.usefixtures("inbox")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [3, 2, 1]),
        ("state=dead", [2]),
        ("reason=PATIENT_CONFLICT", [2]),
        ("type=ORU&event=R01&sender=HIS-H&channel=mllp", [3, 2, 1]),
        ("type=ADT", []),
        ("patient=A", [3, 2]),
        ("patient=H", []),
        ("before=3", [2, 1]),
        ("until=2020-01-01T00:00:00Z", []),
        ("since=2020-01-01T00:00:00Z&limit=1", [3]),
    ],
)
async def test_messages_can_be_narrowed(
    web: httpx.AsyncClient, query: str, expected: list[int]
) -> None:
    assert await ids(web, query) == expected


@pytest.mark.usefixtures("inbox")
async def test_pages_follow_one_another_to_the_end(web: httpx.AsyncClient) -> None:
    seen, after = [], ""
    while after is not None:
        found = await get(web, f"/messages?limit=2{after and f'&before={after}'}")
        seen += [one["id"] for one in found["messages"]]
        after = found["next"]
    assert seen == [3, 2, 1]


@pytest.mark.usefixtures("inbox")
async def test_what_became_of_a_message_holds_nothing_of_the_patient(
    web: httpx.AsyncClient, server: Server
) -> None:
    found = await get(web, "/messages/1")
    assert (found["state"], found["attempts"], len(found["result_versions"])) == ("done", 1, 4)
    dead = await get(web, "/messages/2")
    assert dead["what_to_do"].startswith("The order or result number belongs to somebody else")
    shown = f"{found} {dead} {await get(web, '/messages')} {await get(web, '/sources')}"
    assert [one for one in SECRETS if one in shown] == []
    assert await audited(server) == 0


@pytest.mark.usefixtures("inbox")
@pytest.mark.parametrize(
    ("path", "secret"),
    [
        ("raw", "Rao^Asha"),
        ("parsed", "Rao^Asha"),
        ("mapped", '"family":"Rao"'),
        ("explain?values=true", '"value":"4.75"'),
        ("ack", "MSA|AA"),
    ],
)
async def test_content_is_shown_and_each_reading_recorded(
    web: httpx.AsyncClient, server: Server, path: str, secret: str
) -> None:
    response = await web.get(f"/messages/1/{path}")
    assert response.status_code == 200
    assert secret in response.text.replace('": "', '":"')
    assert await audited(server) == 1


@pytest.mark.usefixtures("inbox")
async def test_explanation_hides_values_unless_asked(web: httpx.AsyncClient) -> None:
    shown = (await web.get("/messages/1/explain")).text
    assert "valueQuantity.value" in shown
    assert [one for one in SECRETS if one in shown] == []


async def test_audit_event_names_the_row_and_who_read_it(
    web: httpx.AsyncClient, server: Server, client: httpx.AsyncClient
) -> None:
    await done(server, result(A, "F1"))
    await web.get("/messages/1/raw")
    (entry,) = (await client.get("AuditEvent")).json()["entry"]
    event = entry["resource"]
    assert event["entity"][0]["what"]["identifier"]["value"] == "1"
    assert event["agent"][0]["name"].startswith("operator at ")
    judged = await client.post("AuditEvent/$validate", json=event)
    assert [i for i in judged.json()["issue"] if i["severity"] in {"error", "fatal"}] == []


async def test_nothing_of_the_inbox_is_a_404(web: httpx.AsyncClient, server: Server) -> None:
    for path in ("", "/raw", "/parsed", "/mapped", "/explain", "/ack"):
        assert (await web.get(f"/messages/99{path}")).status_code == 404
    assert await audited(server) == 0


@pytest.mark.parametrize("path", ["/messages?sender=%00", "/unmapped?sender=a%00b"])
async def test_value_that_no_row_can_have_is_refused(web: httpx.AsyncClient, path: str) -> None:
    assert (await web.get(path)).status_code == 400


async def test_number_that_no_row_can_have_changes_nothing(web: httpx.AsyncClient) -> None:
    assert (await web.get(f"/messages/{10**30}")).status_code == 404
    answer = await web.post("/replay", json={"ids": [10**30]})
    assert answer.json() == {"replayed": []}


async def test_posted_message_is_mapped_and_not_stored(
    web: httpx.AsyncClient, server: Server
) -> None:
    response = await web.post("/map", content=result(A, "F1", "1.40"))
    found = response.json()
    assert '"value":1.40' in response.text
    assert [one["resource"] for one in found["written"]] == [
        *("Patient", "ServiceRequest", "Observation", "DiagnosticReport")
    ]
    assert await rows(server) == []
    assert (await web.post("/map", content=b"nothing")).status_code == 422
    small = with_hl7(server, max_message_bytes=100)
    transport = httpx.ASGITransport(app=create_app(small, (), routes(small)))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver/hl7") as http:
        assert (await http.post("/map", content=result(A, "F1"))).status_code == 413


async def test_message_of_very_many_parts_is_explained_elsewhere(
    web: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = len((await web.post("/map", content=result(A, "F1"))).json()["lines"])
    monkeypatch.setattr(payloads, "MOST_LEAVES", parts)
    assert (await web.post("/map", content=result(A, "F1"))).status_code == 200
    assert (await web.post("/map", content=result(A, "F1") + b"ZZZ|1\r")).status_code == 413


@pytest.mark.usefixtures("inbox")
async def test_replay_preview_shows_and_changes_nothing(
    web: httpx.AsyncClient, server: Server
) -> None:
    before = await rows(server, "state, replays")
    response = await web.post("/replay", json={"ids": [1], "preview": True})
    assert response.json()["previews"] == [
        {"id": 1, "state": "done", "reason": None, "detail": None, "changes": []}
    ]
    assert await rows(server, "state, replays") == before


@pytest.mark.usefixtures("inbox")
async def test_replay_by_reason_is_processed_again(web: httpx.AsyncClient, server: Server) -> None:
    answer = await web.post("/replay", json={"reason": "PATIENT_CONFLICT"})
    assert answer.json() == {"replayed": [2]}
    assert (await rows(server))[1] == ("stored", None)
    await process.run(server, {})
    assert (await rows(server))[1] == ("dead", "PATIENT_CONFLICT")


@pytest.mark.parametrize(
    "body",
    [{}, {"state": "dead"}, {"reason": "NO_SUCH"}, {"ids": []}, {"idz": [1]}],
    ids=["nothing", "a state alone", "no reason", "no ids", "a typing error"],
)
async def test_replay_must_be_meant(web: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert (await web.post("/replay", json=body)).status_code == 422


@pytest.mark.usefixtures("inbox")
async def test_dismissed_letter_keeps_comment_and_actor(web: httpx.AsyncClient) -> None:
    assert (await web.post("/dismiss", json={"ids": [2]})).status_code == 422
    answer = await web.post("/dismiss", json={"ids": [1, 2], "comment": "known"})
    assert answer.json() == {"dismissed": [2]}
    (note,) = (await get(web, "/messages/2"))["history"]
    assert (note["did"], note["comment"]) == ("dismiss", "known")
    assert note["by"].startswith("operator at ")


async def test_release_lets_pass_what_a_dead_letter_holds(
    web: httpx.AsyncClient, server: Server
) -> None:
    holding = with_hl7(server, on_dead="hold")
    await done(holding, result(B, "F1"), result(A, "F1"), result(A, "F2"))
    assert (await get(web, "/dead-letters"))[0]["holding"] == 1
    assert (await web.post("/release", json={"ids": [2]})).json() == {"released": [2]}
    await process.run(holding, {})
    assert (await rows(server))[2] == ("done", None)


@pytest.mark.usefixtures("inbox")
async def test_sources_tell_what_waits_and_what_is_dead(
    web: httpx.AsyncClient, server: Server
) -> None:
    await keep(server, adt("A08", A).replace(b"|HIS|", b"|ADT|"))
    adt_source, his = await get(web, "/sources")
    assert (adt_source["sender"], adt_source["received_day"]) == ("ADT-H", 1)
    assert {name: his[name] for name in ("waiting", "dead", "received_day", "done_day")} == {
        "waiting": 1,
        "dead": 1,
        "received_day": 3,
        "done_day": 1,
    }
    assert his["lag_seconds"] > 0
    assert his["last_id"] == 3


@pytest.mark.usefixtures("inbox")
async def test_dead_letters_come_with_what_to_do(web: httpx.AsyncClient) -> None:
    (found,) = await get(web, "/dead-letters")
    assert (found["reason"], found["messages"]) == ("PATIENT_CONFLICT", 1)
    assert found["what_to_do"] == (await get(web, "/reasons"))["messages"]["PATIENT_CONFLICT"]


async def test_unmapped_leaves_are_summed_by_sender_and_field(
    web: httpx.AsyncClient, server: Server
) -> None:
    z = result(A, "F1") + b"ZXX|1^2|3\r"
    await done(server, z, result(A, "F2"))
    found = {(one["field"], one["reason"]): one["leaves"] for one in await get(web, "/unmapped")}
    assert found == {
        ("MSH-3", "no_target"): 2,
        ("MSH-5", "no_target"): 2,
        ("MSH-6", "no_target"): 2,
        ("OBX-10", "invalid_value"): 2,
        ("ZXX-1", "z_segment"): 2,
        ("ZXX-2", "z_segment"): 1,
    }
    assert await get(web, "/unmapped?sender=nobody") == []


async def test_codes_without_translation_are_listed(web: httpx.AsyncClient, server: Server) -> None:
    await done(server, result(A, "F1"))
    assert [(one["code"], one["count"]) for one in await get(web, "/codes")] == [
        *(("GLU", 1), ("PANEL", 1))
    ]


async def test_channel_is_stopped_and_started(web: httpx.AsyncClient, server: Server) -> None:
    assert (await web.put("/channels/mllp", json={"stopped": True})).status_code == 404
    async with server.database.statement() as connection:
        await connection.execute("INSERT INTO hl7_channel (name, state) VALUES ('mllp', 'x')")
    await web.put("/channels/mllp", json={"stopped": True})
    assert [one["stopped"] for one in await get(web, "/channels")] == [True]
    await web.put("/channels/mllp", json={"stopped": False})
    assert [one["stopped"] for one in await get(web, "/channels")] == [False]


@pytest.mark.usefixtures("inbox")
async def test_pages_of_other_sites_change_nothing(web: httpx.AsyncClient, server: Server) -> None:
    other = {"Origin": "http://elsewhere.example"}
    body = {"ids": [2], "comment": "x"}
    assert (await web.post("/dismiss", json=body, headers=other)).status_code == 403
    assert (await rows(server))[1][0] == "dead"
    own = {"Origin": "http://testserver"}
    assert (await web.post("/dismiss", json=body, headers=own)).status_code == 200


async def test_page_runs_no_script_but_its_own(web: httpx.AsyncClient) -> None:
    page = await web.get("/")
    assert page.status_code == 200
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "<script>" not in page.text
    for name in ("page.js", "page.css"):
        assert name in page.text
        assert (await web.get(f"/{name}")).status_code == 200
    assert ".innerHTML" not in (await web.get("/page.js")).text
    assert (await web.get("http://testserver/hl7", follow_redirects=True)).text == page.text


async def test_interface_describes_itself(web: httpx.AsyncClient) -> None:
    paths = (await get(web, "/openapi.json"))["paths"]
    assert {"/messages", "/messages/{id_}/explain", "/map", "/replay", "/sources"} <= set(paths)
    assert all(one.get("description") for path in paths.values() for one in path.values())


async def test_destination_is_tested_by_connecting(server: Server, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        said = f'version = "1"\n[outbound]\naddress = "127.0.0.1:{port}"\ntriggers = ["ADT"]\n'
        (tmp_path / "his.toml").write_text(said)
        sending = with_hl7(server, profiles_dir=str(tmp_path))
        transport = httpx.ASGITransport(app=create_app(sending, (), routes(sending)))
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver/hl7") as http:
            (found,) = await get(http, "/destinations")
            assert (found["name"], found["triggers"], found["messages"]) == ("his", ["ADT"], [])
            assert (await http.post("/destinations/his/test")).json()["ok"] is True
            sock.close()
            answer = (await http.post("/destinations/his/test")).json()
            assert (answer["ok"], bool(answer["detail"])) == (False, True)
            assert (await http.post("/destinations/other/test")).status_code == 404


async def test_message_that_could_not_be_delivered_is_sent_again(
    web: httpx.AsyncClient, server: Server
) -> None:
    put = """
    INSERT INTO hl7_outbound (destination, kind, event, control_id, keys, reference, version,
        content_sha256, payload, via, state)
    VALUES ('his', 'feed', 'ADT^A08', 'C' || %s, '{}', 'Patient/1', 1, '', 'MSH', 'own', 'dead')
    """
    async with server.database.statement() as connection:
        for number in (1, 2):
            await connection.execute(put, (number,))
    assert [one["id"] for one in await get(web, "/outbound")] == [2, 1]
    assert (await web.post("/outbound/retry", json={"ids": [1]})).json() == {"queued": [1]}
    body = {"ids": [2], "comment": "known"}
    assert (await web.post("/outbound/dismiss", json=body)).json() == {"dismissed": [2]}
    (found,) = await get(web, "/destinations")
    assert {one["state"]: one["messages"] for one in found["messages"]} == {
        "queued": 1,
        "dismissed": 1,
    }
