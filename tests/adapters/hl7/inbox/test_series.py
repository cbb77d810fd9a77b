"""Results of one name at several times: none is lost, doubled or taken for another."""

import httpx
import pytest

from fhir_server.server import Server
from tests.adapters.hl7.inbox.test_hl7_process import done, found, oru

pytestmark = pytest.mark.anyio

PID = "PID|1||P1^^^H^MR||Rao^Asha||19800102|F"


def message(at: int, *rows: tuple[str, str, str]) -> bytes:
    """Return a message of a day of 2026 with rows of time (`0800`), value and status."""
    day = f"202601{at:02}120000"
    return oru(
        PID,
        f"OBR|1|O1|F1|GTT|||20260101080000|||||||||||||||{day}|||F",
        *(
            f"OBX|{n}|NM|GLU||{value}||||||{status}|||20260101{time}00"
            for n, (time, value, status) in enumerate(rows, 1)
        ),
        control_id=f"C{at}",
    )


SERIES = (("0800", "5", "F"), ("1000", "9", "F"))
CASES = {
    "one of a series corrected": (
        [SERIES, [("1000", "9.5", "C")]],
        {("08", "5", "final"), ("10", "9.5", "corrected")},
    ),
    "one of a series again": (
        [SERIES, [("1000", "9", "F")]],
        {("08", "5", "final"), ("10", "9", "final")},
    ),
    "one before its series": (
        [[("0800", "5", "P")], SERIES],
        {("08", "5", "final"), ("10", "9", "final")},
    ),
    "another before a series": (
        [[("0700", "4", "F")], SERIES],
        {("07", "4", "final"), ("08", "5", "final"), ("10", "9", "final")},
    ),
    "a series goes on": (
        [SERIES, [("1100", "8", "F"), ("1200", "7", "F")]],
        {
            ("08", "5", "final"), ("10", "9", "final"), ("11", "8", "final"),
            ("12", "7", "final"),
        },
    ),
    "alone at another time": (
        [[("0800", "5", "P")], [("0805", "6", "F")]],
        {("08", "6", "final")},
    ),
    "alone, corrected twice in a series": (
        [SERIES, [("1000", "9.5", "C")], [("1000", "9.6", "C")], SERIES[:1]],
        {("08", "5", "final"), ("10", "9.6", "corrected")},
    ),
}  # fmt: skip
IN_ONE_GO = ("one of a series corrected", "a series goes on")


@pytest.mark.parametrize(
    ("sent", "expected", "together"),
    [
        *(pytest.param(*case, False, id=name) for name, case in CASES.items()),
        *(pytest.param(*CASES[name], True, id=f"{name}, in one go") for name in IN_ONE_GO),
    ],
)
async def test_results_of_a_series(
    server: Server,
    client: httpx.AsyncClient,
    sent: list[list[tuple[str, str, str]]],
    expected: set[tuple[str, str, str]],
    together: bool,  # noqa: FBT001  (a parameter of the test)
) -> None:
    messages = [message(day, *rows) for day, rows in enumerate(sent, 1)]
    for some in [messages] if together else [[one] for one in messages]:
        await done(server, *some)
    stored = await found(client, "/Observation")
    told = [
        (one["effectiveDateTime"][11:13], str(one["valueQuantity"]["value"]), one["status"])
        for one in stored
    ]
    assert sorted(told) == sorted(expected)
