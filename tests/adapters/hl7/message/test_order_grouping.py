"""Groups of messages other than ORU: where orders, specimens and prior results begin."""

from typing import Any

import pytest

from adapters.hl7.message.grouping import PatientGroup, grouped, notes_after
from tests.adapters.hl7.fields import header
from tests.adapters.hl7.reading import message


def groups(kind: str, *segments: str) -> list[PatientGroup]:
    return grouped(message(*segments, header=header(kind)))


def shape(kind: str, *segments: str) -> list[Any]:
    """Return the orders of each patient as [ORC-2, OBR-1, OBX ids, [SPM id, SACs, OBX ids]]."""
    return [
        [
            [
                order.orc.raw(2) if order.orc else "",
                order.obr.raw(1) if order.obr else "",
                [result.obx.raw(1) for result in order.results],
                [
                    [one.spm.raw(1), len(one.containers), [r.obx.raw(1) for r in one.results]]
                    for one in order.specimens
                ],
            ]
            for order in patient.orders
        ]
        for patient in groups(kind, *segments)
    ]


def test_specimen_before_its_orders_is_that_of_all_of_them() -> None:
    found = shape(
        "OML^O33",
        *("PID|1", "SPM|1", "SAC|1", "ORC|NW|A", "OBR|1", "ORC|NW|B", "OBR|2"),
        *("SPM|2", "ORC|NW|C", "OBR|1"),
    )
    assert found == [
        [
            ["A", "1", [], [["1", 1, []]]],
            ["B", "2", [], [["1", 1, []]]],
            ["C", "1", [], [["2", 0, []]]],
        ]
    ]


def test_containers_between_orders_are_of_the_specimen() -> None:
    found = shape(
        "OML^O35", *("PID|1", "SPM|1", "SAC|1", "ORC|NW|A", "OBR|1", "SAC|2", "ORC|NW|B", "OBR|1")
    )
    assert found == [[["A", "1", [], [["1", 2, []]]], ["B", "1", [], [["1", 2, []]]]]]


def test_control_follows_its_request_in_oul() -> None:
    found = shape(
        "OUL^R22",
        *("PID|1", "SPM|1", "OBX|s", "SAC|1", "OBR|1", "ORC|RE|A", "OBX|1"),
        *("OBR|2", "ORC|RE|B", "OBX|2"),
    )
    assert found == [[["A", "1", ["1"], [["1", 1, ["s"]]]], ["B", "2", ["2"], [["1", 1, []]]]]]


def test_control_before_its_request_is_read_in_oul_too() -> None:
    found = shape("OUL^R22", "SPM|1", "ORC|RE|A", "OBR|1", "OBX|1", "ORC|RE|B", "OBR|2")
    assert [one[:3] for one in found[0]] == [["A", "1", ["1"]], ["B", "2", []]]


def test_specimen_after_the_request_is_that_of_the_request() -> None:
    found = shape("OUL^R24", "OBR|1", "ORC|RE|A", "SPM|1", "OBX|1", "OBR|2", "SPM|2")
    assert found == [[["A", "1", ["1"], [["1", 0, []]]], ["", "2", [], [["2", 0, []]]]]]


def test_specimen_under_which_nothing_is_ordered_is_the_patients() -> None:
    (patient,) = groups("OUL^R22", "PID|1", "SPM|1", "OBX|1", "SPM|2", "OBR|1")
    assert [one.spm.raw(1) for one in patient.specimens] == ["1"]
    assert [result.obx.raw(1) for result in patient.specimens[0].results] == ["1"]
    assert [order.specimens[0].spm.raw(1) for order in patient.orders] == ["2"]


def test_timing_diagnosis_and_charge_join_the_order() -> None:
    (patient,) = groups("OML^O21", "PID|1", "DG1|1", "ORC|NW|A", "TQ1|1", "OBR|1", "DG1|2", "FT1|1")
    (order,) = patient.orders
    assert {name: len(found) for name, found in order.segments.items()} == {
        "TQ1": 1,
        "DG1": 1,
        "FT1": 1,
    }
    assert [one.raw(1) for one in patient.named("DG1")] == ["1"]


@pytest.mark.parametrize("name", ["RXO", "RXA", "RXE"])
def test_what_is_given_opens_an_order_where_none_waits(name: str) -> None:
    (patient,) = groups(
        "ORM^O01", "PID|1", "ORC|NW|A", f"{name}|1", "NTE|1||n", "RXR|PO", f"{name}|2"
    )
    first, second = patient.orders
    assert (first.named(name)[0].raw(1), len(first.named("RXR")), len(first.notes)) == ("1", 1, 1)
    assert (second.orc, second.named(name)[0].raw(1)) == (None, "2")


def test_second_patient_of_an_order_is_the_one_of_prior_results() -> None:
    now, prior, later = groups(
        "OML^O21",
        *("PID|1", "ORC|NW|A", "OBR|1", "PID|2", "OBR|1", "OBX|1", "ORC|NW|B", "OBR|2"),
    )
    assert [one.prior for one in (now, prior, later)] == [False, True, False]
    assert later.pid is now.pid
    assert [order.orc.raw(2) for order in later.orders if order.orc] == ["B"]


def test_previous_results_are_announced_by_their_control() -> None:
    found = groups("OML^O21", "PID|1", "ORC|NW|A", "OBR|1", "ORC|PR|Z", "OBR|1", "OBX|1")
    assert [one.prior for one in found] == [False, True]


def test_second_patient_of_other_messages_is_a_patient() -> None:
    found = groups("ORM^O01", "PID|1", "ORC|NW|A", "PID|2", "ORC|NW|B")
    assert [one.prior for one in found] == [False, False]


def test_segments_of_the_person_are_the_patients_wherever_they_stand() -> None:
    (patient,) = groups("OML^O21", "PID|1", "NK1|1", "ORC|NW|A", "AL1|1", "IN1|1")
    assert sorted(patient.segments) == ["AL1", "IN1", "NK1"]


def test_notes_after_a_segment() -> None:
    found = message("SCH|1", "NTE|1", "NTE|2", "PID|1", "NTE|3", header=header("SIU^S12"))
    assert [note.raw(1) for note in notes_after(found.segments[1])] == ["1", "2"]
