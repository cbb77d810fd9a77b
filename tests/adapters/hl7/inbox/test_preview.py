import httpx
import pytest

from adapters.hl7.inbox.differences import Difference, differences
from adapters.hl7.inbox.preview import preview
from fhir_server.errors import NotFound
from fhir_server.server import Server
from tests.adapters.hl7.conftest import with_hl7
from tests.adapters.hl7.inbox.joining import MRG_A, A, B, adt, done, found, result, rows

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (b'{"resourceType":"X","a":1}', b'{"resourceType":"X","a":1}', []),
        (b'{"resourceType":"X","a":1}', b'{"resourceType":"X","a":2}', [("X.a", 1, 2)]),
        (b'{"resourceType":"X"}', b'{"resourceType":"X","a":{"b":2}}', [("X.a.b", None, 2)]),
        (
            b'{"resourceType":"X","a":[1,{"b":1}]}',
            b'{"resourceType":"X","a":[1]}',
            [("X.a[1].b", 1, None)],
        ),
        (b'{"resourceType":"X","a":"1"}', b'{"resourceType":"X","a":[1]}', [("X.a", "1", [1])]),
        (
            b'{"resourceType":"X","meta":{"versionId":"1"}}',
            b'{"resourceType":"X","meta":{"versionId":"2"}}',
            [],
        ),
        (
            None,
            b'{"resourceType":"X","a":true}',
            [("X.resourceType", None, "X"), ("X.a", None, True)],
        ),
    ],
    ids=["same", "changed", "added", "removed", "other type", "version", "new"],
)
def test_differences_by_path(
    before: bytes | None, after: bytes, expected: list[tuple[str, object, object]]
) -> None:
    assert differences(before, after) == [Difference(*one) for one in expected]


async def everything(server: Server) -> object:
    """Return all versions that were written, also those that the feed does not show yet."""
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT key, version FROM change ORDER BY position")
        return await cursor.fetchall()


async def test_preview_of_what_is_done_shows_no_change(server: Server) -> None:
    await done(server, result(A, "F1"))
    shown = await preview(server, 1)
    assert (shown.state, shown.reason, shown.changes) == ("done", None, ())


async def test_preview_shows_what_another_map_would_change(
    server: Server, client: httpx.AsyncClient
) -> None:
    await done(server, result(A, "F1"))
    (observation,) = await found(client, "/Observation")
    observation["valueQuantity"]["value"] = 4
    await client.put(f"/Observation/{observation['id']}", json=observation)
    before, inbox = await everything(server), await rows(server, "state, attempts, result_versions")
    shown = await preview(server, 1)
    assert [(one.reference, one.kind) for one in shown.changes] == [
        (f"Observation/{observation['id']}", "update")
    ]
    assert shown.changes[0].differences == (Difference("Observation.valueQuantity.value", 4, 5),)
    assert await everything(server) == before
    assert await rows(server, "state, attempts, result_versions") == inbox


async def test_preview_shows_what_would_be_created(
    server: Server, client: httpx.AsyncClient
) -> None:
    small = with_hl7(server, merge_limit=1)
    await done(small, result(A, "F1"), adt("A40", B, MRG_A))
    assert (await preview(small, 2)).reason == "MERGE_TOO_LARGE"
    shown = await preview(small, 2, confirmed=True)
    assert (shown.state, shown.reason) == ("done", None)
    kinds = sorted((one.kind, one.reference.split("/")[0]) for one in shown.changes)
    assert [one for one in kinds if one[1] != "Provenance"] == [
        ("create", "Patient"),
        ("update", "DiagnosticReport"),
        ("update", "Observation"),
        ("update", "Patient"),
        ("update", "ServiceRequest"),
    ]
    (patient,) = await found(client, "/Patient")
    assert "active" not in patient
    assert await rows(server) == [("done", None), ("dead", "MERGE_TOO_LARGE")]


async def test_preview_tells_the_reason_of_a_refusal(server: Server) -> None:
    await done(server, result(B, "F1"), result(A, "F1"))
    shown = await preview(server, 2)
    assert (shown.state, shown.reason, shown.changes) == ("dead", "PATIENT_CONFLICT", ())


async def test_preview_needs_a_message(server: Server) -> None:
    with pytest.raises(NotFound):
        await preview(server, 1)
