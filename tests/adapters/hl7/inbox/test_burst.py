"""Mapping rests while very many messages come."""

import pytest

from adapters.hl7.inbox import process
from fhir_server.server import Server
from tests.adapters.hl7.conftest import with_hl7
from tests.adapters.hl7.inbox.joining import A, B, C, adt, keep, rows

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("worked", "seconds"), [(0.1, pytest.approx(0.3)), (0.3, pytest.approx(0.9)), (0.4, 1.0)]
)
def test_rest_is_three_times_the_work_and_a_second_at_most(worked: float, seconds: float) -> None:
    assert process.rest(worked) == seconds


@pytest.mark.parametrize(("burst", "rests"), [(3, True), (4, False), (0, False)])
async def test_mapping_rests_from_so_many_messages_a_second_on(
    server: Server, monkeypatch: pytest.MonkeyPatch, *, burst: int, rests: bool
) -> None:
    rested: list[float] = []

    def noted(worked: float) -> float:
        rested.append(worked)
        return 0

    monkeypatch.setattr(process, "rest", noted)
    monkeypatch.setattr(process, "_STRETCH", 0)
    await keep(server, *(adt("A04", one) for one in (A, B, C)))
    await process.run(with_hl7(server, burst_messages=burst, batch_messages=1), {})
    assert bool(rested) == rests
    assert await rows(server, "state") == [("done",)] * 3
