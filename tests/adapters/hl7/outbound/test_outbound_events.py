"""Which message a change asks for."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.hl7.outbound.events import events
from adapters.hl7.outbound.queue import Queued, startable


def visit(status: str, bed: str = "a") -> dict[str, Any]:
    where = [{"location": {"reference": f"Location/{bed}"}, "status": "active"}]
    return {"resourceType": "Encounter", "status": status, "location": where}


def order(status: str, intent: str = "order") -> dict[str, Any]:
    return {"resourceType": "ServiceRequest", "status": status, "intent": intent}


def person(*links: str) -> dict[str, Any]:
    return {"resourceType": "Patient", "link": [{"type": one} for one in links]}


def of(kind: str, status: str) -> dict[str, Any]:
    return {"resourceType": kind, "status": status}


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [
        pytest.param(person(), None, ["ADT^A31"], id="new_patient"),
        pytest.param(person("replaced-by"), person(), ["ADT^A40"], id="replaced"),
        pytest.param(person("replaced-by"), person("replaced-by"), [], id="replaced_before"),
        pytest.param(visit("planned"), None, [], id="planned"),
        pytest.param(visit("arrived"), visit("planned"), ["ADT^A01"], id="arrives"),
        pytest.param(visit("in-progress"), visit("arrived"), ["ADT^A08"], id="goes_on"),
        pytest.param(visit("in-progress", "b"), visit("in-progress"), ["ADT^A02"], id="moves"),
        pytest.param(visit("finished"), visit("in-progress"), ["ADT^A03"], id="leaves"),
        pytest.param(visit("finished", "b"), visit("finished"), ["ADT^A08"], id="later"),
        pytest.param(visit("in-progress"), visit("finished"), ["ADT^A13"], id="is_back"),
        pytest.param(visit("cancelled"), visit("in-progress"), ["ADT^A11"], id="cancelled"),
        pytest.param(visit("cancelled"), visit("planned"), [], id="never_came"),
        pytest.param(order("active"), None, ["OML^O21 NW", "OML^O33 NW"], id="new_order"),
        pytest.param(
            order("active"), order("unknown"), ["OML^O21 NW", "OML^O33 NW"], id="now_known"
        ),
        pytest.param(
            order("active"), order("active"), ["OML^O21 XO", "OML^O33 XO"], id="changed_order"
        ),
        pytest.param(
            order("revoked"), order("active"), ["OML^O21 CA", "OML^O33 CA"], id="withdrawn"
        ),
        pytest.param(order("revoked"), None, [], id="never_told"),
        pytest.param(order("completed"), order("active"), [], id="completed"),
        pytest.param(order("active", "proposal"), None, [], id="no_order"),
        pytest.param(of("DiagnosticReport", "final"), None, ["ORU^R01", "OUL^R22"], id="report"),
        pytest.param(of("DiagnosticReport", "unknown"), None, [], id="no_report_yet"),
    ],
)
def test_event_of_a_change(
    now: dict[str, Any], before: dict[str, Any] | None, expected: list[str]
) -> None:
    assert [f"{one.kind} {one.control}".strip() for one in events(now, before)] == expected


@given(
    st.lists(
        st.tuples(st.frozensets(st.sampled_from("abc"), min_size=1, max_size=2), st.booleans()),
        max_size=12,
    ),
    st.integers(1, 12),
)
def test_no_message_of_a_patient_overtakes_another_that_waits(
    said: list[tuple[frozenset[str], bool]], size: int
) -> None:
    rows = [
        Queued(at, str(at), keys, b"", 0, due=due, kind="feed")
        for at, (keys, due) in enumerate(said)
    ]
    blocked: set[str] = set()
    started = [
        one
        for start in range(0, len(rows), size)
        for one in startable(rows[start : start + size], blocked)
    ]
    for one in started:
        waiting = [row for row in rows if row not in started and row.id < one.id]
        assert one.due
        assert not any(row.keys & one.keys for row in waiting)
    # Whom nobody is before is not held.
    for row in rows:
        free = not any(other.keys & row.keys for other in rows[: row.id])
        assert not (row.due and free) or row in started
