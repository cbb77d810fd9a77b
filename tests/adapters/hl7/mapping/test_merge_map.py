from datetime import UTC

import pytest

from adapters.hl7.mapping.context import Merge, Profile, Refusal
from adapters.hl7.mapping.transform import Mapped, transform
from adapters.hl7.message.tokenizer import parse

IDS = "http://x/hl7/HIS-H/ids/H"
PID = "PID|1||B^^^H^MR||Rao|||||||||||||AC2^^^H"
MRG = "MRG|A^^^H^MR||AC1^^^H||V1^^^H|V9^^^H|Old^Name"
PV1 = "PV1|1|I|||||||||||||||||V2^^^H"


def mapped(event: str, *segments: str) -> Mapped:
    start = f"MSH|^~\\&|HIS|H|EHR|H|20260102||ADT^{event}|1|P|2.5.1"
    profile = Profile("http://x", "HIS-H", UTC)
    return transform(parse("\r".join((start, *segments)) + "\r"), profile)


def told(merge: Merge) -> tuple[str, str, list[str], list[str]]:
    short = (
        [one.removeprefix(IDS + "|") for one in some] for some in (merge.survivor, merge.retired)
    )
    return merge.event, merge.type, *short


PATIENT, ACCOUNT = ("Patient", ["B"], ["A"]), ("Account", ["AC2"], ["AC1"])
VISIT = ("Encounter", ["V2"], ["V1", "V9"])


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (("A18", "A34", "A36", "A39", "A40", "A46", "A47"), [PATIENT, ACCOUNT, VISIT]),
        (("A35", "A41", "A44", "A49"), [ACCOUNT]),
        (("A42", "A45", "A50", "A51"), [VISIT]),
        (("A43",), [PATIENT]),
    ],
    ids=["patients", "accounts", "visits", "identifiers"],
)
def test_events_join_what_they_name(
    events: tuple[str, ...], expected: list[tuple[str, list[str], list[str]]]
) -> None:
    for event in events:
        found = [told(one) for one in mapped(event, PID, MRG, PV1).merges]
        assert found == [(event, *one) for one in expected]


@pytest.mark.parametrize("event", ["A44", "A45"])
def test_moves_tell_whose_it_is_then_and_not_before(event: str) -> None:
    found = mapped(event, PID.replace("AC2^^^H", ""), MRG, PV1)
    assert [one.patient for one in found.merges] == [(f"{IDS}|B",)]
    kind = "Account" if event == "A44" else "Encounter"
    (moved,) = [one.resource for one in found.writes if one.resource["resourceType"] == kind]
    assert "subject" not in moved


def test_prior_patient_keeps_number_and_name() -> None:
    merge = mapped("A40", PID, MRG).merges[0]
    assert merge.said["name"] == [{"family": "Old", "given": ["Name"], "use": "old"}]
    assert [one["value"] for one in merge.said["identifier"]] == ["A"]
    assert (merge.keys, merge.old_keys) == (("B H",), ("A H",))


@pytest.mark.parametrize("fields", ["|A^^^H", "|||A^^^H"], ids=["MRG-2", "MRG-4"])
def test_older_fields_serve_where_the_list_is_empty(fields: str) -> None:
    assert mapped("A40", PID, f"MRG|{fields}").merges[0].retired == (f"{IDS}|A",)


def test_pairs_repeat() -> None:
    other = "PID|1||D^^^H\rMRG|C^^^H"
    found = mapped("A40", PID, "MRG|A^^^H", other).merges
    assert [told(one)[2:] for one in found] == [(["B"], ["A"]), (["D"], ["C"])]


@pytest.mark.parametrize("event", ["A24", "A37"])
def test_two_patients_are_linked(event: str) -> None:
    (merge,) = mapped(event, PID, "PID|2||A^^^H").merges
    assert told(merge) == (event, *PATIENT)


@pytest.mark.parametrize(
    ("event", "segments", "reason"),
    [
        ("A40", (PID, "MRG|^^^H"), "NO_PATIENT_ID"),
        ("A40", (PID,), "NO_PATIENT_ID"),
        ("A40", ("PID|1||^^^H", MRG), "NO_PATIENT_ID"),
        ("A43", (PID, "MRG|"), "NO_PATIENT_ID"),
        ("A41", (PID, "MRG|A^^^H"), "MAPPING_ERROR"),
        ("A42", (PID, MRG), "MAPPING_ERROR"),
        ("A42", (PID, "MRG|A^^^H", PV1), "MAPPING_ERROR"),
        ("A24", (PID,), "NO_PATIENT_ID"),
    ],
)
def test_event_that_does_not_name_both_is_refused(
    event: str, segments: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(Refusal) as refused:
        mapped(event, *segments)
    assert refused.value.reason == reason


@pytest.mark.parametrize(("event", "listed"), [("A40", []), ("A41", ["5", "6", "7"])])
def test_every_leaf_of_mrg_is_in_a_resource_or_listed(event: str, listed: list[str]) -> None:
    unmapped = [place for place, _ in mapped(event, PID, MRG, PV1).unmapped if "MRG" in place]
    fields = {place.removeprefix("MRG[1]-").split("[")[0] for place in unmapped}
    # Whose account it was, is the Account's to say (MRG-1).
    assert sorted(fields) == [*(["1"] if event == "A41" else []), *listed]
