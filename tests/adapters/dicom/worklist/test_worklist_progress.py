"""What performed procedure steps make of scheduled ones."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from adapters.dicom.worklist import progress
from adapters.dicom.worklist.progress import Reference, Step, meant
from fhir_server.server import Server
from tests.adapters.dicom.worklist import orders
from tests.adapters.dicom.worklist.conftest import Write, listed
from tests.adapters.dicom.worklist.test_worklist_leaving import booked, order, statuses

MPPS, OTHER = "1.2.3.1", "1.2.3.2"
OURS = Step("S1", "o1", "a1", "2.25.1", "A1", {})
SECOND = Step("S2", "o1", "a2", "2.25.1", "A1", {})
CANDIDATES = [(OURS, "R1"), (SECOND, "R1")]


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (Reference("2.25.1", "A1", "R1", "S1"), ["S1"]),
        (Reference("2.25.1", "", "", "S2"), ["S2"]),
        (Reference("9.9", "A1", "", "S1"), ["S1"]),
        (Reference("", "", "", "S1"), ["S1"]),
        (Reference("9.9", "X", "", "S1"), []),
        (Reference("2.25.1"), ["S1", "S2"]),
        (Reference("", "A1", "R1"), ["S1", "S2"]),
        (Reference("2.25.1", "A1", "R9"), ["S1", "S2"]),
        (Reference("2.25.1", "A1", "R1", "S9"), []),
    ],
    ids=(
        *("all agree", "by study and step", "study made by the modality", "step alone"),
        *("step of another system", "study alone", "accession and procedure"),
        *("another procedure id", "a step that is not there"),
    ),
)
def test_a_reference_means_steps(reference: Reference, expected: list[str]) -> None:
    assert meant(reference, CANDIDATES) == expected


async def did(server: Server, act: Callable[..., Awaitable[list[Step]]], *given: Any) -> list[str]:
    async with server.database.transaction() as connection:
        return [step.id for step in await act(connection, *given)]


async def of_order(write: Write, server: Server) -> Reference:
    await write(orders.PATIENT, order(), booked())
    [found] = await listed(server, "StudyInstanceUID", "AccessionNumber")
    return Reference(found["StudyInstanceUID"][0], found["AccessionNumber"][0], "R1", "S1")


async def test_a_step_is_started_and_leaves_when_it_is_completed(
    server: Server, write: Write
) -> None:
    reference = await of_order(write, server)
    assert await did(server, progress.started, MPPS, [reference]) == ["S1"]
    assert await statuses(server) == ["STARTED"]
    await write(booked(status="arrived"))
    assert await statuses(server) == ["STARTED"]
    assert await did(server, progress.completed, MPPS) == ["S1"]
    assert await statuses(server) == []
    await write(booked(status="booked"))
    assert await statuses(server) == []


async def test_a_step_stays_while_another_modality_step_is_in_progress(
    server: Server, write: Write
) -> None:
    reference = await of_order(write, server)
    await did(server, progress.started, MPPS, [reference])
    await did(server, progress.started, OTHER, [reference])
    await did(server, progress.discontinued, MPPS)
    assert await statuses(server) == ["STARTED"]
    await did(server, progress.completed, OTHER)
    assert await statuses(server) == []
    async with server.database.connection() as connection:
        [step] = await progress.steps_of(connection, "o1")
    assert step.performed == {MPPS: "DISCONTINUED", OTHER: "COMPLETED"}
    assert step.is_completed


async def test_a_wrong_entry_returns_to_the_list(server: Server, write: Write) -> None:
    reference = await of_order(write, server)
    await did(server, progress.started, MPPS, [reference])

    async def released(connection: Any, mpps: str) -> list[Step]:
        return await progress.discontinued(connection, mpps, wrong_entry=True)

    assert await did(server, released, MPPS) == ["S1"]
    assert await statuses(server) == ["SCHEDULED"]


async def test_what_names_nothing_of_ours_is_passed_over(server: Server, write: Write) -> None:
    await of_order(write, server)
    assert await did(server, progress.started, MPPS, [Reference("9.9", "X", "Y", "Z")]) == []
    assert await did(server, progress.completed, OTHER) == []
    assert await statuses(server) == ["SCHEDULED"]
