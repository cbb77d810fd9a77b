import pytest

from tests.adapters.hl7.reading import PID, mapped

OBR = "OBR|1|O1|F1|PANEL^Panel^L|||20260101120000"


def keys(*segments: str) -> list[str]:
    return [
        w.identity[-1]
        for w in mapped(*segments).writes
        if w.resource["resourceType"] == "Observation"
    ]


def test_key_of_a_result_does_not_depend_on_its_place() -> None:
    first = keys(PID, OBR, "OBX|1|NM|A||1", "OBX|2|NM|B||2")
    again = keys(PID, OBR, "OBX|1|NM|B||9", "OBX|2|NM|A||8")
    assert first == [again[1], again[0]]


def test_equal_codes_have_keys_of_their_own() -> None:
    found = keys(PID, OBR, "OBX|1|NM|A||1", "OBX|2|NM|A||2", "OBX|3|NM|A|1|3", "OBX|4|NM|A||4")
    assert len(set(found)) == 4


def test_correction_has_the_key_of_what_it_corrects() -> None:
    assert keys(PID, OBR, "OBX|1|NM|A||1||||||F") == keys(PID, OBR, "OBX|1|NM|A||2||||||C")


def test_obx_21_is_the_key_where_it_is_sent() -> None:
    obx = "OBX|1|NM|{}||1" + "|" * 16 + "ID7^LIS"
    assert keys(PID, OBR, obx.format("A")) == keys(PID, "OBR|1||F9|Z", obx.format("B"))


def test_series_under_one_name_is_told_apart_by_its_times() -> None:
    series = [f"OBX|{n}|NM|GLU||5||||||F|||2026010{n}" for n in (1, 2, 3)]
    whole = keys(PID, OBR, *series)
    assert len(set(whole)) == len(series)
    assert keys(PID, OBR, *series[1:]) == whole[1:]
    assert keys(PID, OBR, *reversed(series)) == whole[::-1]


@pytest.mark.parametrize("times", [("", ""), ("20260101", "20260101"), ("20260101", "")])
def test_equals_without_times_of_their_own_are_told_apart_by_their_number(
    times: tuple[str, str],
) -> None:
    first, second = (f"OBX|1|NM|GLU||{n}||||||F|||{at}" for n, at in enumerate(times))
    found = keys(PID, OBR, first, second)
    assert len(set(found)) == len(times)
    assert found[0] == keys(PID, OBR, "OBX|1|NM|GLU||9||||||C")[0]
