"""What operators see and do about commitments and steps."""

from typing import Any

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from adapters.dicom.cli import app
from adapters.dicom.commitment import rows
from adapters.dicom.commitment.figures import figures
from adapters.dicom.commitment.transaction import Request
from adapters.dicom.mpps import rows as steps
from adapters.dicom.mpps.rows import Message
from adapters.dicom.network.peer import Peer
from adapters.dicom.simulation import step
from adapters.dicom.simulation.exam import Exam, unscheduled
from fhir_server.config import Settings
from fhir_server.server import Server
from tests.adapters.dicom.simulation.test_played_modality import NOW
from tests.flows.test_dicom_query_page import Target

CT = "1.2.840.10008.5.1.4.1.1.2"
PEER = Peer("127.0.0.1", "CT1", "SANGAM")
ASKED = Request("1.2.3", ((CT, "1.2.4"), (CT, "1.2.5")))


@pytest.fixture
def asked(database_url: str) -> int:
    """The number of a commitment that is decided and could not be reported."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        number = rows.add(connection, PEER, ASKED)
        connection.execute(
            "UPDATE dicom_commitment SET state = 'decided', attempts = 3, failure = 'Refusal', "
            """failed = '[["1.2.840.10008.5.1.4.1.1.2", "1.2.5", 274]]'"""
        )
    return number


@pytest.fixture
def run(database_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("COLUMNS", "200")

    def invoked(*arguments: str) -> str:
        target = Target(settings, database_url)
        done = CliRunner().invoke(app, list(arguments), obj=target)
        return done.output if done.exit_code == 0 else type(done.exception).__name__

    return invoked


def state(database_url: str) -> Any:
    with psycopg.connect(database_url) as connection:
        return connection.execute("SELECT state FROM dicom_commitment").fetchone()


def test_the_list_shows_what_was_not_reported(asked: int, run: Any, database_url: str) -> None:
    [line] = [one for one in run("commitments", "list").splitlines() if "CT1" in one]
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    assert (cells[0], cells[2], *cells[4:7]) == (str(asked), "decided", "2", "1", "3")
    assert cells[-1] == "Refusal"
    with psycopg.connect(database_url, autocommit=True) as connection:
        rows.reported(connection, asked)
    assert "CT1" not in run("commitments", "list")
    assert "CT1" in run("commitments", "list", "--all")


def test_one_is_shown_with_what_cannot_be_committed(asked: int, run: Any) -> None:
    shown = run("commitments", "show", str(asked)).splitlines()
    assert shown[-2:] == ["1.2.4: committed", "1.2.5: failed 0112"]
    assert run("commitments", "show", "999") == "NotFound"


def test_an_operator_dismisses_and_reports_again(asked: int, run: Any, database_url: str) -> None:
    assert run("commitments", "dismiss", str(asked)) == f"Commitment {asked} is dismissed\n"
    assert state(database_url) == ("dismissed",)
    assert run("commitments", "dismiss", str(asked)) == "NotFound"
    run("commitments", "retry", str(asked))
    assert state(database_url) == ("decided",)
    assert run("commitments", "retry", "999") == "NotFound"


async def test_what_was_reported_long_ago_is_forgotten(server: Server) -> None:
    with psycopg.connect(server.database.conninfo, autocommit=True) as connection:
        for days, how in ((99, "reported"), (99, "decided"), (1, "reported")):
            number = rows.add(connection, PEER, Request(f"1.2.{days}.{len(how)}", ASKED.references))
            connection.execute(
                "UPDATE dicom_commitment SET state = %s, "
                "requested_at = now() - %s * interval '1 day' WHERE id = %s",
                (how, days, number),
            )
    async with server.database.transaction() as used:
        await rows.forget(used, 90)
        cursor = await used.execute("SELECT state FROM dicom_commitment ORDER BY id")
        assert await cursor.fetchall() == [("decided",), ("reported",)]


async def test_what_waits_is_counted(asked: int, server: Server) -> None:
    registry = CollectorRegistry()
    async with server.database.connection() as connection:
        await figures(connection, registry)

    def value(name: str, state: str) -> float | None:
        return registry.get_sample_value(name, {"state": state})

    assert value("dicom_commitments", "decided") == 1
    assert value("dicom_commitments", "waiting") == 0
    assert (value("dicom_commitment_oldest_seconds", "decided") or 0) > 0


def test_a_step_is_shown_without_its_patient(database_url: str, run: Any) -> None:
    exam = unscheduled(Exam(3, "CT", 2, 8, NOW, station="CT1"))
    keys = step.keyed(step.begun(exam))
    with psycopg.connect(database_url, autocommit=True) as connection:
        steps.add(connection, exam.step_uid, keys, Message(b"", "1.2.840.10008.1.2", PEER))
    shown = run("mpps", "show", exam.step_uid)
    assert "state: IN PROGRESS\n" in shown
    assert "instances: 0 of 0 stored\n" in shown
    assert exam.step_uid in run("mpps", "list")
    assert exam.patient_id not in shown + run("mpps", "list")
    assert run("mpps", "show", "1.2.3") == "NotFound"
