from typing import Any

import httpx
import pytest

from adapters.hl7.inbox.unmerge import Unmerged, unmerge
from fhir_server.errors import Conflict, NotFound
from fhir_server.server import Server
from tests.adapters.hl7.inbox.joining import (
    MRG_A,
    MRG_B,
    A,
    B,
    C,
    adt,
    done,
    found,
    patients,
    result,
    subjects,
)

pytestmark = pytest.mark.anyio

KINDS = ("Observation", "DiagnosticReport", "ServiceRequest")


async def take_back(server: Server, merge: int = 1) -> Unmerged:
    return await unmerge(server, server.base, merge, "somebody")


def plain(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name != "meta"}


async def test_everything_is_as_it_was(server: Server, client: httpx.AsyncClient) -> None:
    await done(server, result(A, "F1"), result(B, "F2"))
    before = [plain(one) for kind in (*KINDS, "Patient") for one in await found(client, f"/{kind}")]
    assert await done(server, adt("A40", B, MRG_A + "||||||Old^Name")) == []
    assert (await take_back(server)).review == []
    after = [plain(one) for kind in (*KINDS, "Patient") for one in await found(client, f"/{kind}")]
    assert sorted(after, key=repr) == sorted(before, key=repr)


async def test_what_came_since_follows_its_number(
    server: Server, client: httpx.AsyncClient
) -> None:
    await done(server, result(A, "F1"), adt("A40", B, MRG_A))
    later = (result(A, "F3"), result(B, "F4"), result(A, "F1", "6", "C"))
    assert await done(server, *later) == []
    assert (await take_back(server)).review == []
    known = {one: f"Patient/{has['id']}" for one, has in (await patients(client, server)).items()}
    owners = {
        filler: (await found(client, f"/DiagnosticReport?identifier={filler}"))[0]["subject"]
        for filler in ("F1", "F3", "F4")
    }
    assert owners == {
        "F1": {"reference": known["A"]},
        "F3": {"reference": known["A"]},
        "F4": {"reference": known["B"]},
    }
    # Afterwards each number is its own patient's again, in the inbox too.
    again = (result(A, "F3", "7", "C"), result(A, "F5"), result(B, "F4", "7", "C"))
    assert await done(server, *again) == []
    assert await subjects(client, KINDS) == {known["A"], known["B"]}


async def test_what_a_new_number_took_over_goes_back(
    server: Server, client: httpx.AsyncClient
) -> None:
    known = "PID|1||A^^^H^MR||Rao^Asha||19800102|F|||1 Road^^Pune"
    await done(server, adt("A28", known), adt("A47", "PID|1||B^^^H^MR||Rao^Asha Devi", MRG_A))
    await take_back(server)
    now = await patients(client, server)
    assert {name for name in now["A"] if name in {"birthDate", "address"}} == {
        "birthDate",
        "address",
    }
    assert set(now["B"]) == {"resourceType", "id", "meta", "identifier", "name"}


async def test_what_both_had_a_part_in_is_told(server: Server, client: httpx.AsyncClient) -> None:
    await done(server, result(A, "F1"), adt("A40", B, MRG_A))
    assert await done(server, result(A, "F3"), result(B, "F3", "6", "C")) == []
    review = (await take_back(server)).review
    assert sorted({one.split("/")[0] for one in review}) == sorted(KINDS)
    known = await patients(client, server)
    (report,) = await found(client, "/DiagnosticReport?identifier=F3")
    assert report["subject"] == {"reference": f"Patient/{known['B']['id']}"}


async def test_resource_of_both_is_as_it_was(server: Server, client: httpx.AsyncClient) -> None:
    await done(server, result(A, "F1"), result(B, "F2"))
    known = await patients(client, server)
    members = [{"entity": {"reference": f"Patient/{known[one]['id']}"}} for one in "AB"]
    group = {"resourceType": "Group", "type": "person", "actual": True, "member": members}
    stored = (await client.post("/Group", json=group)).json()
    assert await done(server, adt("A40", B, MRG_A)) == []
    await take_back(server)
    assert plain((await client.get(f"/Group/{stored['id']}")).json()) == plain(stored)


async def test_merge_can_be_made_again(server: Server, client: httpx.AsyncClient) -> None:
    await done(server, result(A, "F1"), adt("A40", B, MRG_A))
    await take_back(server)
    assert await done(server, adt("A40", B, MRG_A)) == []
    survivor = (await patients(client, server))["B"]
    assert await subjects(client, KINDS) == {f"Patient/{survivor['id']}"}
    await take_back(server, 2)


async def test_chain_is_taken_back_from_its_end(server: Server) -> None:
    await done(server, result(A, "F1"), adt("A40", B, MRG_A), adt("A40", C, MRG_B))
    with pytest.raises(Conflict):
        await take_back(server, 1)
    await take_back(server, 2)
    await take_back(server, 1)


async def test_merge_is_taken_back_once(server: Server) -> None:
    await done(server, adt("A40", B, MRG_A))
    await take_back(server)
    for merge in (1, 2):
        with pytest.raises(NotFound):
            await take_back(server, merge)


async def test_link_is_no_merge(server: Server) -> None:
    await done(server, adt("A24", A, B))
    with pytest.raises(NotFound):
        await take_back(server)
