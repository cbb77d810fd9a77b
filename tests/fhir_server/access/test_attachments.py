"""Who may make the Binary that a document points to."""

import httpx
import pytest
from interactions.searching import put, ref

from fhir_server.access import roles
from fhir_server.access.role_table import shipped
from fhir_server.access.roles import Person

from .restricted import Asking, Json, asking
from .test_care_limits import DOCTOR, PEOPLE, encounter

pytestmark = pytest.mark.anyio
__all__ = ["asking"]

CONTENT = {"resourceType": "Binary", "contentType": "text/plain", "data": "YQ=="}
BINARY, LETTER, OTHER = (f"urn:uuid:0000000{n}-0000-4000-8000-000000000000" for n in (1, 2, 3))


def letter(patient: str, url: str = BINARY) -> Json:
    return {
        "resourceType": "DocumentReference",
        "status": "current",
        "subject": ref(f"Patient/{patient}"),
        "content": [{"attachment": {"contentType": "text/plain", "url": url}}],
    }


def bundle(*documents: Json) -> Json:
    given = [(BINARY, CONTENT), *zip((LETTER, OTHER), documents, strict=False)]
    entries = [
        {
            "fullUrl": url,
            "resource": one,
            "request": {"method": "POST", "url": one["resourceType"]},
        }
        for url, one in given
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


async def as_doctor(client: httpx.AsyncClient, asking: Asking) -> None:
    await put(client, *PEOPLE, encounter("in-progress"))
    wall = roles.wall(shipped(), ["DOCTOR"], Person(DOCTOR, (DOCTOR,)), {})
    asking.be(wall, user=DOCTOR)


async def test_attachment_is_made_in_the_context_of_what_one_sees(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    await as_doctor(client, asking)
    contexts: dict[str, Json] = {
        "ann": {"securityContext": ref("Patient/ann")},
        "bob": {"securityContext": ref("Patient/bob")},
        "nobody": {},
    }
    answers = {
        name: (await client.post("/Binary", json={**CONTENT, **context})).status_code
        for name, context in contexts.items()
    }
    # Of whom one does not see the server says that there is none.
    assert answers == {"ann": 201, "bob": 422, "nobody": 403}


async def test_attachment_belongs_to_the_document_that_comes_with_it(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    await as_doctor(client, asking)
    answer = await client.post("/", json=bundle(letter("ann")))
    assert answer.status_code == 200, answer.text
    binary, document = (
        one["response"]["location"].partition("/fhir/")[2].partition("/_history")[0]
        for one in answer.json()["entry"]
    )
    found = (await client.get(f"/{binary}", headers={"Accept": "application/fhir+json"})).json()
    assert found["securityContext"] == ref(document)
    linked = (await client.get(f"/{document}")).json()["content"][0]["attachment"]["url"]
    assert linked.endswith(binary)


@pytest.mark.parametrize(
    "documents",
    [(letter("bob"),), (letter("ann"), letter("ann")), (letter("ann", url=OTHER),)],
    ids=["of-a-hidden-patient", "of-two-documents", "of-none"],
)
async def test_attachment_that_belongs_nowhere_is_not_made(
    client: httpx.AsyncClient, asking: Asking, documents: tuple[Json, ...]
) -> None:
    await as_doctor(client, asking)
    assert (await client.post("/", json=bundle(*documents))).status_code in (403, 422)
    asking.be_all()
    assert (await client.get("/DocumentReference")).json().get("entry") is None
    assert (await client.get("/Binary")).json().get("entry") is None
