from adapters.hl7.message.grouping import grouped
from tests.adapters.hl7.reading import message


def shape(*segments: str, obx_after_spm: str = "auto") -> list[object]:
    """Return patients as [pid, notes, results, [orders]], by the set ids of the segments."""

    def ids(found: list[object]) -> list[str]:
        return [getattr(one, "obx", one).raw(1) for one in found]  # type: ignore[attr-defined]

    return [
        [
            patient.pid.raw(1) if patient.pid else None,
            ids(patient.notes),
            ids(patient.results),
            [
                [
                    order.orc is not None,
                    order.obr.raw(1) if order.obr else None,
                    ids(order.notes),
                    ids(order.results),
                    [[s.spm.raw(1), ids(s.containers), ids(s.results)] for s in order.specimens],
                ]
                for order in patient.orders
            ],
        ]
        for patient in grouped(message(*segments), obx_after_spm)  # type: ignore[arg-type]
    ]


def test_orc_opens_an_order_and_obr_joins_it() -> None:
    assert shape("PID|1", "ORC|RE", "OBR|1", "OBX|1", "ORC|RE", "OBR|2", "OBX|2") == [
        ["1", [], [], [[True, "1", [], ["1"], []], [True, "2", [], ["2"], []]]]
    ]


def test_obr_without_orc_opens_an_order() -> None:
    assert shape("PID|1", "OBR|1", "OBX|1", "OBR|2", "OBX|2") == [
        ["1", [], [], [[False, "1", [], ["1"], []], [False, "2", [], ["2"], []]]]
    ]


def test_pid_opens_a_patient() -> None:
    assert shape("PID|1", "OBR|1", "OBX|1", "PID|2", "OBR|2", "OBX|2") == [
        ["1", [], [], [[False, "1", [], ["1"], []]]],
        ["2", [], [], [[False, "2", [], ["2"], []]]],
    ]


def test_obx_before_any_order_is_of_the_patient() -> None:
    assert shape("PID|1", "OBX|1", "OBR|1", "OBX|2") == [
        ["1", [], ["1"], [[False, "1", [], ["2"], []]]]
    ]


def test_obx_after_spm_is_of_the_specimen_only_where_results_came_before() -> None:
    after = ("PID|1", "OBR|1", "OBX|1", "SPM|1", "OBX|2")
    before = ("PID|1", "OBR|1", "SPM|1", "OBX|1", "OBX|2")
    assert shape(*after)[0][3] == [[False, "1", [], ["1"], [["1", [], ["2"]]]]]  # type: ignore[index]
    assert shape(*before)[0][3] == [[False, "1", [], ["1", "2"], [["1", [], []]]]]  # type: ignore[index]


def test_sender_that_puts_specimens_first_does_so_for_all() -> None:
    segments = ("PID|1", "OBR|1", "SPM|1", "OBX|1", "SPM|2", "OBX|2")
    assert shape(*segments)[0][3] == [  # type: ignore[index]
        [False, "1", [], ["1", "2"], [["1", [], []], ["2", [], []]]]
    ]


def test_profile_decides_for_obx_after_spm() -> None:
    segments = ("PID|1", "OBR|1", "OBX|1", "SPM|1", "OBX|2")
    assert shape(*segments, obx_after_spm="result")[0][3] == [  # type: ignore[index]
        [False, "1", [], ["1", "2"], [["1", [], []]]]
    ]


def test_notes_belong_to_the_segment_before() -> None:
    segments = (
        *("PID|1", "PD1|", "NTE|a", "NTE|b", "PV1|1", "NTE|lost", "ORC|RE", "OBR|1", "NTE|c"),
        *("OBX|1", "NTE|d", "PRT|", "NTE|e", "ZZZ|", "NTE|lost"),
    )
    patient = grouped(message(*segments))[0]
    assert [n.raw(1) for n in patient.notes] == ["a", "b"]
    assert [n.raw(1) for n in patient.orders[0].notes] == ["c"]
    assert [n.raw(1) for n in patient.orders[0].results[0].notes] == ["d", "e"]


def test_sac_belongs_to_its_specimen() -> None:
    assert shape("PID|1", "OBR|1", "SPM|1", "SAC|7", "OBX|1")[0][3] == [  # type: ignore[index]
        [False, "1", [], ["1"], [["1", ["7"], []]]]
    ]


def test_message_without_pid_is_one_unnamed_patient() -> None:
    assert shape("OBR|1", "OBX|1") == [[None, [], [], [[False, "1", [], ["1"], []]]]]
