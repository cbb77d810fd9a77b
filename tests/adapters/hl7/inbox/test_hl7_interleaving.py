"""Results of many orders in any order of arrival end as the rules of lateness say.

The rules are written here once more, in the words of section 4 of the project's HL7
specification, and held against what PostgreSQL has in the end.
"""

import random
from dataclasses import dataclass

import httpx
import pytest

from adapters.hl7.inbox import process
from fhir_server.server import Server
from tests.adapters.hl7.inbox.test_hl7_process import found, keep, oru, rows

pytestmark = pytest.mark.anyio

STATUS = {
    "P": "preliminary",
    "F": "final",
    "A": "amended",
    "C": "corrected",
    "D": "entered-in-error",
    "X": "cancelled",
}
RANK = {"P": 1, "F": 2, "A": 3, "C": 3, "D": 3, "X": 3}
CODES = ("GLU", "NA", "K")
ORDERS = 12
MESSAGES = 9


@dataclass(frozen=True)
class Sent:
    """A message: the order, the day that it tells of, and (code, status, value) of its results."""

    order: int
    day: int
    results: tuple[tuple[str, str, int], ...]

    def message(self, number: int) -> bytes:
        obr = f"OBR|1|O{self.order}|F{self.order}|X||||||||||||||||||202601{self.day:02}120000"
        return oru(
            f"PID|1||P{self.order}^^^H^MR",
            obr,
            *(f"OBX|1|NM|{code}||{value}||||||{status}" for code, status, value in self.results),
            control_id=f"C{number}",
        )


@dataclass
class Model:
    """What is known of one thing: as of which day, its status, and what it says."""

    day: int = 0
    status: str = ""
    says: object = None

    def tell(self, day: int, status: str, says: object) -> None:
        if self.day:
            if day < self.day:
                return
            if status == "P" and self.status != "P":
                return
            if day == self.day and RANK[status] < RANK[self.status]:
                return
        self.day, self.status, self.says = day, status, says


def drawn(dice: random.Random) -> list[Sent]:
    """Return messages of all orders, mixed; some come twice."""
    sent = [
        Sent(
            order,
            dice.randrange(1, 6),
            tuple(
                (code, dice.choice("PPFFACDX"), dice.randrange(100))
                for code in dice.sample(CODES, dice.randrange(1, 4))
            ),
        )
        for order in range(ORDERS)
        for _ in range(MESSAGES)
    ]
    sent += dice.sample(sent, ORDERS)
    dice.shuffle(sent)
    return sent


@pytest.mark.parametrize("seed", range(3))
async def test_any_order_of_arrival_ends_as_the_rules_say(
    server: Server, client: httpx.AsyncClient, seed: int
) -> None:
    sent = drawn(random.Random(seed))
    models: dict[tuple[int, str], Model] = {}
    for one in sent:
        for code, status, value in one.results:
            models.setdefault((one.order, code), Model()).tell(one.day, status, value)
    await keep(server, *(one.message(number) for number, one in enumerate(sent)))
    await process.run(server, {})
    assert {state for (state,) in await rows(server, "state")} == {"done", "stale"}
    ids = f"{server.base}/hl7/LIS-LAB/ids/H"
    for order in range(ORDERS):
        query = f"/Observation?patient.identifier={ids}|P{order}&_count=50"
        observations = await found(client, query)
        by_code = {one["code"]["coding"][0]["code"]: one for one in observations}
        expected = {code: model for (of, code), model in models.items() if of == order}
        assert by_code.keys() == expected.keys()
        for code, model in expected.items():
            one = by_code[code]
            told = (one["status"], one["valueQuantity"]["value"])
            assert told == (STATUS[model.status], model.says), (order, code)
        (report,) = await found(client, f"/DiagnosticReport?patient.identifier={ids}|P{order}")
        listed = {one["reference"].partition("/")[2] for one in report["result"]}
        assert listed == {one["id"] for one in observations}
