"""The Synthea patients load, and what is stored equals what was sent."""

import json
import tarfile
from collections import Counter
from pathlib import Path

import httpx
import psycopg
import pytest

from fhir_server.server import Server

FHIR = {"content-type": "application/fhir+json"}


def files(shared: Path) -> list[tuple[str, bytes]]:
    """The bundles, hospitals and practitioners first: the others refer to them."""
    with tarfile.open(shared / "data/synthea/synthea-r4-transactions.tgz") as package:
        found = [
            (member.name, file.read())
            for member in package
            if (file := package.extractfile(member)) is not None
        ]
    return sorted(found)


@pytest.mark.timeout(300)
async def test_all_fourteen_files_load_and_the_counts_are_the_sources(
    client: httpx.AsyncClient, server: Server, database_url: str, shared: Path
) -> None:
    sent: Counter[str] = Counter()
    bundles = files(shared)
    assert len(bundles) == 14
    for name, raw in bundles:
        response = await client.post("", content=raw, headers=FHIR)
        assert response.status_code == 200, (name, response.text[:500])
        statuses = {e["response"]["status"] for e in response.json()["entry"]}
        assert statuses == {"201 Created"}, name
        sent.update(e["resource"]["resourceType"] for e in json.loads(raw)["entry"])
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT type_id, count(*) FROM resource"
            " WHERE NOT deleted AND type_id > 0 GROUP BY type_id"
        ).fetchall()
    assert {server.definitions.type_names[t]: n for t, n in rows} == dict(sent)
    assert sent.total() == 7_486
