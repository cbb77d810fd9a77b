"""The REST API as a client meets it: statuses, headers, bodies."""

import asyncio
import gzip

import httpx
import msgspec
import pytest

from fhir_server.server import Server

PATIENT = {"resourceType": "Patient", "name": [{"family": "Rao", "given": ["Asha"]}]}
FHIR = {"content-type": "application/fhir+json"}


async def post(client: httpx.AsyncClient, type_name: str, resource: object) -> httpx.Response:
    return await client.post(f"/{type_name}", content=msgspec.json.encode(resource), headers=FHIR)


def outcome(response: httpx.Response) -> tuple[int, str, str | None]:
    issue = response.json()["issue"][0]
    return response.status_code, issue["code"], issue.get("expression", [None])[0]


async def test_create_answers_201_with_location_etag_and_body(client: httpx.AsyncClient) -> None:
    response = await post(client, "Patient", PATIENT)
    body = response.json()
    assert response.status_code == 201
    assert response.headers["etag"] == 'W/"1"'
    assert response.headers["location"].endswith(f"/Patient/{body['id']}/_history/1")
    assert body["meta"]["versionId"] == "1"
    assert body["name"] == PATIENT["name"]


async def test_create_ignores_the_id_and_version_in_the_body(client: httpx.AsyncClient) -> None:
    sent = {**PATIENT, "id": "mine", "meta": {"versionId": "9", "tag": [{"code": "x"}]}}
    body = (await post(client, "Patient", sent)).json()
    assert body["id"] != "mine"
    assert body["meta"]["versionId"] == "1"
    assert body["meta"]["tag"] == [{"code": "x"}]


async def test_read_gives_the_bytes_that_create_gave(client: httpx.AsyncClient) -> None:
    created = await post(client, "Patient", PATIENT)
    read = await client.get(f"/Patient/{created.json()['id']}")
    assert read.status_code == 200
    assert read.content == created.content
    assert read.headers["last-modified"].endswith("GMT")


async def test_decimals_keep_their_digits(client: httpx.AsyncClient) -> None:
    raw = (
        b'{"resourceType":"Observation","status":"final","code":{"text":"x"},'
        b'"valueQuantity":{"value":1.40},"component":[{"code":{"text":"y"},'
        b'"valueQuantity":{"value":1.0E+2}},{"code":{"text":"z"},'
        b'"valueQuantity":{"value":0.000000001}}]}'
    )
    created = await client.post("/Observation", content=raw, headers=FHIR)
    read = await client.get(f"/Observation/{created.json()['id']}")
    for literal in (b'"value":1.40}', b'"value":1.0E+2}', b'"value":0.000000001}'):
        assert literal in read.content


async def test_if_none_match_with_the_current_version_is_304(client: httpx.AsyncClient) -> None:
    created = await post(client, "Patient", PATIENT)
    url = f"/Patient/{created.json()['id']}"
    same = await client.get(url, headers={"if-none-match": 'W/"1"'})
    other = await client.get(url, headers={"if-none-match": 'W/"2"'})
    assert (same.status_code, same.content, other.status_code) == (304, b"", 200)


async def test_head_is_get_without_a_body(client: httpx.AsyncClient) -> None:
    created = await post(client, "Patient", PATIENT)
    response = await client.head(f"/Patient/{created.json()['id']}")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == str(len(created.content))


async def test_update_makes_the_next_version_and_keeps_the_old_one(
    client: httpx.AsyncClient,
) -> None:
    first = (await post(client, "Patient", PATIENT)).json()
    url = f"/Patient/{first['id']}"
    changed = {**PATIENT, "id": first["id"], "active": True}
    updated = await client.put(url, content=msgspec.json.encode(changed), headers=FHIR)
    assert (updated.status_code, updated.headers["etag"]) == (200, 'W/"2"')
    assert (await client.get(f"{url}/_history/1")).json() == first
    assert (await client.get(f"{url}/_history/2")).json()["active"] is True
    assert updated.json()["meta"]["lastUpdated"] > first["meta"]["lastUpdated"]


async def test_update_with_equal_content_stores_nothing(client: httpx.AsyncClient) -> None:
    first = (await post(client, "Patient", PATIENT)).json()
    url = f"/Patient/{first['id']}"
    again = await client.put(url, content=msgspec.json.encode(first), headers=FHIR)
    assert (again.status_code, again.headers["etag"]) == (200, 'W/"1"')
    assert again.json() == first
    assert (await client.get(f"{url}/_history")).json()["total"] == 1


async def test_update_of_an_unknown_id_creates_it(client: httpx.AsyncClient) -> None:
    sent = {**PATIENT, "id": "asha-1"}
    response = await client.put("/Patient/asha-1", content=msgspec.json.encode(sent), headers=FHIR)
    assert response.status_code == 201
    assert (await client.get("/Patient/asha-1")).json()["name"] == PATIENT["name"]


async def test_delete_leaves_410_history_and_can_be_revived(client: httpx.AsyncClient) -> None:
    id_ = (await post(client, "Patient", PATIENT)).json()["id"]
    assert (await client.delete(f"/Patient/{id_}")).status_code == 204
    assert (await client.delete(f"/Patient/{id_}")).status_code == 204
    gone = await client.get(f"/Patient/{id_}")
    assert (outcome(gone), gone.headers["etag"]) == ((410, "deleted", None), 'W/"2"')
    body = msgspec.json.encode({**PATIENT, "id": id_})
    assert (await client.put(f"/Patient/{id_}", content=body, headers=FHIR)).status_code == 201
    history = (await client.get(f"/Patient/{id_}/_history")).json()
    assert [e["request"]["method"] for e in history["entry"]] == ["PUT", "DELETE", "POST"]
    assert "resource" not in history["entry"][1]


async def test_if_match_with_another_version_is_412(client: httpx.AsyncClient) -> None:
    id_ = (await post(client, "Patient", PATIENT)).json()["id"]
    body = msgspec.json.encode({**PATIENT, "id": id_, "active": False})
    headers = {**FHIR, "if-match": 'W/"7"'}
    response = await client.put(f"/Patient/{id_}", content=body, headers=headers)
    assert outcome(response) == (412, "conflict", None)


async def test_conditional_create_finds_what_is_there(client: httpx.AsyncClient) -> None:
    sent = {**PATIENT, "identifier": [{"system": "urn:mrn", "value": "7"}]}
    headers = {**FHIR, "if-none-exist": "identifier=urn:mrn|7"}
    body = msgspec.json.encode(sent)
    first = await client.post("/Patient", content=body, headers=headers)
    second = await client.post("/Patient", content=body, headers=headers)
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json()


async def test_conditional_update_and_delete_act_on_the_one_match(
    client: httpx.AsyncClient,
) -> None:
    sent = {**PATIENT, "identifier": [{"system": "urn:mrn", "value": "8"}]}
    url = "/Patient?identifier=urn:mrn|8"
    created = await client.put(url, content=msgspec.json.encode(sent), headers=FHIR)
    sent["active"] = True
    updated = await client.put(url, content=msgspec.json.encode(sent), headers=FHIR)
    deleted = await client.delete(url)
    again = await client.delete(url)
    statuses = [r.status_code for r in (created, updated, deleted, again)]
    assert statuses == [201, 200, 204, 204]
    assert updated.json()["id"] == created.json()["id"]


async def test_conditional_update_with_several_matches_is_412(client: httpx.AsyncClient) -> None:
    sent = {**PATIENT, "identifier": [{"system": "urn:mrn", "value": "9"}]}
    await post(client, "Patient", sent)
    await post(client, "Patient", sent)
    response = await client.put(
        "/Patient?identifier=urn:mrn|9", content=msgspec.json.encode(sent), headers=FHIR
    )
    assert outcome(response) == (412, "multiple-matches", None)


async def test_dangling_reference_is_422_with_its_path(client: httpx.AsyncClient) -> None:
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": "Patient/nobody"},
    }
    response = await post(client, "Observation", observation)
    assert outcome(response) == (422, "not-found", "Observation.subject.reference")
    assert (await client.get("/Observation/_history")).json().get("entry") is None


async def test_referenced_resource_is_not_deleted(client: httpx.AsyncClient) -> None:
    patient = (await post(client, "Patient", PATIENT)).json()["id"]
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": f"Patient/{patient}"},
    }
    created = (await post(client, "Observation", observation)).json()["id"]
    refused = await client.delete(f"/Patient/{patient}")
    assert outcome(refused)[:2] == (409, "conflict")
    assert f"Observation/{created}" in refused.json()["issue"][0]["details"]["text"]
    await client.delete(f"/Observation/{created}")
    assert (await client.delete(f"/Patient/{patient}")).status_code == 204


@pytest.mark.parametrize(
    ("method", "url", "content", "headers", "expected"),
    [
        ("POST", "/Patient", b'{"resourceType":"Pat', FHIR, (400, "structure")),
        ("POST", "/Patient", b"[]", FHIR, (400, "structure")),
        ("POST", "/Patient", b'{"resourceType":"Group"}', FHIR, (400, "structure")),
        ("POST", "/Patient", b"{}", FHIR, (400, "structure")),
        ("POST", "/Patient", b"x\x00", FHIR, (400, "structure")),
        ("POST", "/Patient", b"[" * 10_000, FHIR, (400, "structure")),
        ("POST", "/Patient", b"{}", {"content-type": "text/plain"}, (415, "not-supported")),
        ("POST", "/Patient", b"{}", {}, (415, "not-supported")),
        ("PUT", "/Patient/1", b'{"resourceType":"Patient","id":"2"}', FHIR, (400, "value")),
        ("PUT", "/Patient", b'{"resourceType":"Patient"}', FHIR, (400, "required")),
        ("POST", "/Parameters", b'{"resourceType":"Parameters"}', FHIR, (405, "not-supported")),
        ("POST", "/Patient/1", b"{}", FHIR, (405, "not-supported")),
        ("GET", "/Patient/none", None, {}, (404, "not-found")),
        ("GET", "/Patient/none/_history", None, {}, (404, "not-found")),
        ("GET", "/Patient/none/_history/1", None, {}, (404, "not-found")),
        ("GET", "/Nothing", None, {}, (404, "not-supported")),
        ("GET", "/Patient/$nothing", None, {}, (404, "not-supported")),
        ("GET", "/Patient/a_b", None, {}, (400, "value")),
        ("GET", "/Patient?foo=1", None, {}, (400, "invalid")),
        ("GET", "/Patient/none?_format=turtle", None, {}, (406, "not-supported")),
        ("GET", "/Patient/none", None, {"accept": "text/csv"}, (406, "not-supported")),
        ("GET", "/_history?_sort=a", None, {}, (400, "invalid")),
        ("GET", "/Patient?_pretty=maybe", None, {}, (400, "value")),
    ],
)
async def test_refusals(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    content: bytes | None,
    headers: dict[str, str],
    expected: tuple[int, str],
) -> None:
    response = await client.request(method, url, content=content, headers=headers)
    assert outcome(response)[:2] == expected


async def test_body_over_the_limit_is_413(client: httpx.AsyncClient) -> None:
    body = b'{"resourceType":"Patient","x":"' + b"a" * (17 << 20) + b'"}'
    assert outcome(await client.post("/Patient", content=body, headers=FHIR))[:2] == (
        413,
        "too-long",
    )


async def test_gzip_counts_unpacked(client: httpx.AsyncClient) -> None:
    headers = {**FHIR, "content-encoding": "gzip"}
    packed = gzip.compress(msgspec.json.encode(PATIENT))
    bomb = gzip.compress(b" " * (17 << 20))
    assert (await client.post("/Patient", content=packed, headers=headers)).status_code == 201
    assert (await client.post("/Patient", content=bomb, headers=headers)).status_code == 413


async def test_url_over_the_limit_is_414(client: httpx.AsyncClient) -> None:
    response = await client.get("/Patient?family=" + "x" * 17_000)
    assert outcome(response)[:2] == (414, "too-long")


@pytest.mark.parametrize(
    ("prefer", "length"), [("return=minimal", 0), ("return=representation", 1)]
)
async def test_prefer_return_decides_the_body(
    client: httpx.AsyncClient, prefer: str, length: int
) -> None:
    response = await client.post(
        "/Patient", content=msgspec.json.encode(PATIENT), headers={**FHIR, "prefer": prefer}
    )
    assert (response.status_code, bool(response.content)) == (201, bool(length))
    assert response.headers["preference-applied"] == prefer


async def test_prefer_operation_outcome_answers_with_one(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/Patient",
        content=msgspec.json.encode(PATIENT),
        headers={**FHIR, "prefer": "return=OperationOutcome"},
    )
    assert response.json()["resourceType"] == "OperationOutcome"


async def test_history_pages_through_all_versions_once(client: httpx.AsyncClient) -> None:
    for _ in range(7):
        await post(client, "Patient", PATIENT)
    # Other databases of the same PostgreSQL may hold the watermark back for a moment.
    for _ in range(100):
        if len((await client.get("/Patient/_history")).json().get("entry", ())) == 7:
            break
        await asyncio.sleep(0.1)
    url: str | None = "/Patient/_history?_count=3"
    seen: list[str] = []
    while url:
        page = (await client.get(url)).json()
        seen += [entry["fullUrl"] for entry in page["entry"]]
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)
    assert (len(seen), len(set(seen))) == (7, 7)


async def test_labels_that_an_update_omits_are_kept(client: httpx.AsyncClient) -> None:
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
    first = (await post(client, "Patient", {**PATIENT, "meta": {"security": [label]}})).json()
    sent = {**PATIENT, "id": first["id"], "active": True}
    updated = await client.put(
        f"/Patient/{first['id']}", content=msgspec.json.encode(sent), headers=FHIR
    )
    assert updated.json()["meta"]["security"] == [label]


@pytest.mark.parametrize(
    ("setting", "kept"), [("keep_security", True), ("replace", False)], ids=str
)
async def test_update_replaces_profile_and_tag_and_labels_by_the_setting(
    client: httpx.AsyncClient, server: Server, setting: str, *, kept: bool
) -> None:
    write = server.settings.write.model_copy(update={"meta_on_update": setting})
    object.__setattr__(server, "settings", server.settings.model_copy(update={"write": write}))
    meta = {
        "profile": ["http://x.org/a"],
        "security": [{"system": "urn:s", "code": "R"}],
        "tag": [{"system": "urn:t", "code": "t"}],
    }
    url, sent = "/Patient/p", {**PATIENT, "id": "p"}
    await client.put(url, content=msgspec.json.encode({**sent, "meta": meta}), headers=FHIR)
    other = {"tag": [{"system": "urn:t", "code": "u"}]}
    body = msgspec.json.encode({**sent, "meta": other})
    stored = (await client.put(url, content=body, headers=FHIR)).json()["meta"]
    said = {name: stored[name] for name in stored if name not in {"versionId", "lastUpdated"}}
    assert said == ({**other, "security": meta["security"]} if kept else other)


async def test_capability_statement_lists_146_types_less_those_never_stored(
    client: httpx.AsyncClient,
) -> None:
    response = await client.get("/metadata")
    statement = response.json()
    assert len(statement["rest"][0]["resource"]) == 144
    cached = await client.get("/metadata", headers={"if-none-match": response.headers["etag"]})
    assert cached.status_code == 304


async def test_request_id_of_the_client_comes_back(client: httpx.AsyncClient) -> None:
    response = await client.get("/Patient/none", headers={"x-request-id": "abc-1"})
    assert response.headers["x-request-id"] == "abc-1"


async def test_compartment_search_finds_what_belongs_to_the_patient(
    client: httpx.AsyncClient,
) -> None:
    mine = (await post(client, "Patient", PATIENT)).json()["id"]
    other = (await post(client, "Patient", PATIENT)).json()["id"]
    observation = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    for subject in (mine, other):
        sent = {**observation, "subject": {"reference": f"Patient/{subject}"}}
        await post(client, "Observation", sent)
    found = (await client.get(f"/Patient/{mine}/Observation")).json()
    everything = (await client.get(f"/Patient/{mine}/*")).json()
    posted = await client.post(f"/Patient/{mine}/Observation/_search", data={"status": "final"})
    subjects = [e["resource"]["subject"]["reference"] for e in found["entry"]]
    assert subjects == [f"Patient/{mine}"]
    kinds = sorted(e["resource"]["resourceType"] for e in everything["entry"])
    assert kinds == ["Observation", "Patient"]
    assert posted.json()["total"] == 1


@pytest.mark.parametrize("path", ["/Patient/none/Observation", "/Patient/none/Practitioner"])
async def test_compartment_of_nobody_or_of_a_foreign_type_is_404(
    client: httpx.AsyncClient, path: str
) -> None:
    assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("query", "members"),
    [
        ("_elements=birthDate", {"resourceType", "id", "meta", "birthDate"}),
        ("_summary=true", {"resourceType", "id", "meta", "name", "birthDate"}),
        ("_summary=text", {"resourceType", "id", "meta", "text"}),
        ("_summary=data", {"resourceType", "id", "meta", "name", "birthDate", "maritalStatus"}),
    ],
)
async def test_read_of_a_part_is_tagged(
    client: httpx.AsyncClient, query: str, members: set[str]
) -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'
    sent = {
        **PATIENT,
        "birthDate": "1984-03-02",
        "maritalStatus": {"text": "x"},
        "text": {"status": "generated", "div": div},
    }
    id_ = (await post(client, "Patient", sent)).json()["id"]
    body = (await client.get(f"/Patient/{id_}?{query}")).json()
    assert set(body) == members
    assert [tag["code"] for tag in body["meta"]["tag"]] == ["SUBSETTED"]
    refused = await client.put(f"/Patient/{id_}", content=msgspec.json.encode(body), headers=FHIR)
    assert outcome(refused)[:2] == (422, "business-rule")


@pytest.mark.parametrize("query", ["_elements=nothing", "_summary=maybe", "_summary=text&foo=1"])
async def test_read_of_an_unknown_part_is_400(client: httpx.AsyncClient, query: str) -> None:
    id_ = (await post(client, "Patient", PATIENT)).json()["id"]
    assert (await client.get(f"/Patient/{id_}?{query}")).status_code == 400


async def test_xml_goes_in_and_out_with_its_literals(client: httpx.AsyncClient) -> None:
    xml = {"content-type": "application/fhir+xml", "accept": "application/fhir+xml"}
    body = (
        b'<Observation xmlns="http://hl7.org/fhir"><status value="final"/>'
        b'<code><text value="x"/></code>'
        b'<valueQuantity><value value="0.0000000100"/></valueQuantity></Observation>'
    )
    created = await client.post("/Observation", content=body, headers=xml)
    assert created.status_code == 201
    assert created.headers["content-type"] == "application/fhir+xml; charset=utf-8"
    place = "/" + created.headers["location"].split("/fhir/")[1]
    assert b'<value value="0.0000000100"/>' in (await client.get(f"{place}?_format=xml")).content
    assert b'"value":0.0000000100}' in (await client.get(place)).content
    bundle = await client.get("/Observation?_format=xml")
    assert b'<Bundle xmlns="http://hl7.org/fhir">' in bundle.content
    refused = await client.post("/Observation", content=b"<Observation>", headers=xml)
    assert (refused.status_code, b"<OperationOutcome" in refused.content) == (400, True)
    doctype = b"<!DOCTYPE x [<!ENTITY a 'b'>]>" + body
    assert (await client.post("/Observation", content=doctype, headers=xml)).status_code == 400
