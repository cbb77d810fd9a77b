"""The catalogue of procedures, and what it makes of an order."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from adapters.dicom.worklist import catalogue, procedures, serve
from adapters.dicom.worklist.follow import READER, REBUILD, run, run_rebuild
from fhir_server.config import Settings
from fhir_server.dicom_settings import DicomSettings
from fhir_server.errors import BadRequest
from fhir_server.server import Server
from tests.adapters.dicom.worklist import orders
from tests.adapters.dicom.worklist.conftest import Write, listed
from tests.adapters.dicom.worklist.test_worklist_leaving import STEP, booked, order

FILE = """
[[procedure]]
system = "http://loinc.org"
code = "30799-1"
modality = "CT"
description = "Chest with contrast"
stations = ["CT1", "CT2"]
minutes = 20
requested = { code = "RPID16", system = "http://radlex.org", display = "CT CHEST W" }
protocols = [{ code = "CHEST-C", display = "Chest routine" }]
"""


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    file = tmp_path / "procedures.toml"
    file.write_text(FILE)
    dicom = DicomSettings(procedures_file=str(file))
    return Settings(demo=True, data_dir=tmp_path / "data", dicom=dicom)


def test_a_file_is_read() -> None:
    [found] = catalogue.read(FILE)
    assert found == catalogue.Procedure(
        system="http://loinc.org",
        code="30799-1",
        modality="CT",
        description="Chest with contrast",
        requested={"code": "RPID16", "system": "http://radlex.org", "display": "CT CHEST W"},
        protocols=({"code": "CHEST-C", "display": "Chest routine"},),
        stations=("CT1", "CT2"),
        minutes=20,
    )


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[[procedure]]\ncode = 'x'\n", "modality"),
        ("[[procedure]]\ncode = 'x'\nmodality = 'ct'\n", "modality"),
        ("[[procedure]]\ncode = 'x'\nmodality = 'CT'\nstation = 'CT1'\n", "station"),
        ("[[procedure]]\ncode = 'x'\nmodality = 'CT'\nstations = ['A\\\\B']\n", "stations"),
        ("[[procedure]]\ncode = 'x'\nmodality = 'CT'\nminutes = 0\n", "minutes"),
        (2 * "[[procedure]]\ncode = 'x'\nmodality = 'CT'\n", "twice"),
        ("[[", "cannot be read"),
    ],
)
def test_a_file_that_is_wrong_says_where(text: str, wrong: str) -> None:
    with pytest.raises(BadRequest, match=wrong):
        catalogue.read(text)


async def test_an_order_of_the_catalogue_is_listed_as_it_says(server: Server, write: Write) -> None:
    await serve.begin(server)
    start = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    made = order(code=orders.ORDER["code"], occurrenceDateTime=start.isoformat())
    await write(orders.PATIENT, {key: one for key, one in made.items() if key != "category"})
    [found] = await listed(server, STEP, "RequestedProcedureCodeSequence")
    assert found["RequestedProcedureCodeSequence"] == [
        {
            "CodeValue": ["RPID16"],
            "CodingSchemeDesignator": ["RADLEX"],
            "CodeMeaning": ["CT CHEST W"],
        }
    ]
    [step] = found[STEP]
    names = (
        *("Modality", "ScheduledStationAETitle", "ScheduledProcedureStepDescription"),
        *("ScheduledProtocolCodeSequence", "ScheduledProcedureStepEndTime"),
    )
    assert [step[name] for name in names] == [
        ["CT"],
        ["CT1", "CT2"],
        ["Chest with contrast"],
        [
            {
                "CodeValue": ["CHEST-C"],
                "CodingSchemeDesignator": ["L"],
                "CodeMeaning": ["Chest routine"],
            }
        ],
        [f"{(start + timedelta(minutes=20)).astimezone(ZoneInfo('Asia/Kolkata')):%H%M%S}"],
    ]
    both = f"{STEP}.ScheduledStationAETitle=CT2"
    assert len(await listed(server, both)) == 1


async def test_a_changed_catalogue_has_orders_looked_at_again(server: Server, write: Write) -> None:
    plain = {key: one for key, one in order(code=orders.ORDER["code"]).items() if key != "category"}
    await write(orders.PATIENT, plain, booked())
    assert await listed(server, STEP) == []
    await serve.begin(server)
    await run_rebuild(server, {})
    await run(server, {"order": "o1"})
    assert len(await listed(server, STEP)) == 1


async def test_the_start_looks_at_all_orders_once(server: Server) -> None:
    async def due() -> list[str]:
        async with server.database.transaction() as connection:
            cursor = await connection.execute("DELETE FROM job RETURNING kind")
            return [kind for (kind,) in await cursor.fetchall()]

    await serve.begin(server)
    assert await due() == [REBUILD]
    async with server.database.transaction() as connection:
        insert = "INSERT INTO feed_reader (name, feed_xid, position) VALUES (%s, '1', 0)"
        await connection.execute(insert, (READER,))
    await serve.begin(server)
    assert await due() == []


def test_procedures_are_put_in_place_of_those_of_their_code(database_url: str) -> None:
    [first] = catalogue.read(FILE)
    [changed] = catalogue.read(FILE.replace('"CT1", "CT2"', '"CT3"'))
    with psycopg.connect(database_url, autocommit=True) as connection:
        assert procedures.put(connection, [first]) == 1
        assert procedures.put(connection, [first]) == 0
        assert procedures.put(connection, [changed]) == 1
        assert procedures.everything(connection) == [changed]
        assert procedures.remove(connection, "http://loinc.org", "30799-1")
        assert not procedures.remove(connection, "http://loinc.org", "30799-1")
