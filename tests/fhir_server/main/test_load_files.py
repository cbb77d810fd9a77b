"""Files in, resources stored, refusals told."""

import gzip
import io
import tarfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fhir_server.main import load, sources
from fhir_server.main.load import Summary
from fhir_server.main.piece import store
from fhir_server.server import Server

ORGANIZATION = {"resourceType": "Organization", "id": "o1", "name": "Ward"}
PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "managingOrganization": {"reference": "Organization/o1"},
}
OBSERVATION = {
    "resourceType": "Observation",
    "id": "b1",
    "status": "final",
    "code": {"text": "x"},
    "subject": {"reference": "Patient/p1"},
}
BROKEN = {"resourceType": "Patient", "id": "p2", "birthDate": "yesterday"}
ALL = Counter({"Organization": 1, "Patient": 1, "Observation": 1})


def text(*resources: dict[str, Any]) -> bytes:
    return b"\n".join(msgspec.json.encode(one) for one in resources)


def bundle(kind: str, *resources: dict[str, Any]) -> dict[str, Any]:
    entries = [
        {
            "resource": one,
            "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"},
        }
        for one in resources
    ]
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


async def loaded(server: Server, *paths: Path) -> Summary:
    return await load.load(partial(store, server), list(paths), jobs=4, advance=lambda _: None)


async def stored(server: Server) -> list[str]:
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT id FROM resource ORDER BY id")
        return [row[0] for row in await cursor.fetchall()]


@pytest.mark.parametrize("kind", ["transaction", "batch", "collection", "searchset"])
async def test_the_resources_of_a_bundle_are_stored(
    server: Server, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / "all.json"
    file.write_bytes(text(bundle(kind, ORGANIZATION, PATIENT, OBSERVATION)))
    summary = await loaded(server, file)
    assert (summary.stored, summary.refused) == (ALL, [])
    assert await stored(server) == ["b1", "o1", "p1"]


async def test_each_line_of_ndjson_is_a_resource_also_gzipped(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "a.ndjson").write_bytes(text(ORGANIZATION, PATIENT) + b"\n\n")
    (tmp_path / "b.ndjson.gz").write_bytes(gzip.compress(text(OBSERVATION)))
    summary = await loaded(server, tmp_path)
    assert (summary.stored, summary.refused) == (ALL, [])


async def test_the_documents_of_an_archive_are_loaded(server: Server, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "all.tgz", "w:gz") as archive:
        for name, content in (
            ("x/patient.json", text(PATIENT)),
            ("x/observation.ndjson.gz", gzip.compress(text(OBSERVATION))),
            ("x/organization.json", text(ORGANIZATION)),
            ("x/readme.txt", b"not a resource"),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    summary = await loaded(server, tmp_path / "all.tgz")
    assert (summary.stored, summary.refused) == (ALL, [])


async def test_what_refers_to_a_later_resource_waits_for_it(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_bytes(text(OBSERVATION))
    (tmp_path / "b.json").write_bytes(text(bundle("transaction", PATIENT)))
    (tmp_path / "c.ndjson").write_bytes(text(ORGANIZATION))
    summary = await loaded(server, tmp_path)
    assert (summary.stored, summary.refused) == (ALL, [])


async def test_a_reference_that_never_comes_is_refused_alone(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "a.ndjson").write_bytes(text(OBSERVATION, ORGANIZATION))
    summary = await loaded(server, tmp_path)
    assert summary.stored == Counter({"Organization": 1})
    assert summary.refused == [
        (
            "a.ndjson:1",
            "Observation.subject.reference",
            "The referenced resource is not stored here",
        )
    ]


async def test_what_is_invalid_is_refused_with_its_line_and_the_rest_is_stored(
    server: Server, tmp_path: Path
) -> None:
    people = [{"resourceType": "Patient", "id": f"x{n:03}"} for n in range(250)]
    people[120] = BROKEN
    file = tmp_path / "a.ndjson"
    file.write_bytes(text(*people) + b'\n{"resourceType":\n["Patient"]')
    summary = await loaded(server, file)
    assert summary.stored == Counter({"Patient": 249})
    assert sorted(name for name, _, _ in summary.refused) == [
        "a.ndjson:121",
        "a.ndjson:251",
        "a.ndjson:252",
    ]
    assert "yesterday" not in str(summary.refused)


async def test_loading_twice_stores_nothing_new(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "all.json"
    file.write_bytes(text(bundle("collection", ORGANIZATION, PATIENT)))
    await loaded(server, file)
    await loaded(server, file)
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM body")
        assert await cursor.fetchone() == (2,)


async def test_numbers_of_a_collection_keep_their_digits(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(
        b'{"resourceType":"Bundle","type":"collection","entry":[{"resource":'
        b'{"resourceType":"Observation","status":"final","code":{"text":"x"},'
        b'"valueQuantity":{"value":1.40}}}]}'
    )
    await loaded(server, file)
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT json LIKE '%%\"value\":1.40}%%' FROM body")
        assert await cursor.fetchone() == (True,)


def test_files_that_others_refer_to_come_first(tmp_path: Path) -> None:
    names = [
        "Observation.ndjson",
        "Patient.000.ndjson",
        "0-practitionerInformation1.json",
        "Aaron_Brekke.json",
        "Organization.ndjson.gz",
        "hospitalInformation9.json",
        "notes.txt",
    ]
    for name in names:
        (tmp_path / name).touch()
    assert [path.name for path in sources.files([tmp_path])] == [
        "Organization.ndjson.gz",
        "hospitalInformation9.json",
        "0-practitionerInformation1.json",
        "Patient.000.ndjson",
        "Aaron_Brekke.json",
        "Observation.ndjson",
    ]
