"""Updates that change what they speak of, and deletions by path."""

from typing import Any

import pytest

from adapters.hl7.mapping.partial import united, without


def codes(*found: str) -> list[dict[str, Any]]:
    return [{"coding": [{"code": code} for code in found]}]


UNITED: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("unsaid stays", {"a": 1, "b": 2}, {"b": 3}, {"a": 1, "b": 3}),
    ("primitive extension goes with its value",
     {"gender": "unknown", "_gender": {"x": 1}}, {"gender": "male"}, {"gender": "male"}),
    ("choice has one type", {"deceasedDateTime": "2026", "_deceasedDateTime": {}},
     {"deceasedBoolean": False}, {"deceasedBoolean": False}),
    ("yes does not displace the day", {"deceasedDateTime": "2026"}, {"deceasedBoolean": True},
     {"deceasedDateTime": "2026"}),
    ("day displaces yes", {"deceasedBoolean": True}, {"deceasedDateTime": "2026"},
     {"deceasedDateTime": "2026"}),
    ("parts are united", {"period": {"start": "1", "end": "2"}}, {"period": {"end": "3"}},
     {"period": {"start": "1", "end": "3"}}),
    ("concepts are replaced", {"code": {"text": "x"}}, {"code": {"coding": []}},
     {"code": {"coding": []}}),
    ("identifiers are added", {"identifier": [{"system": "s", "value": "1"}]},
     {"identifier": [{"system": "s", "value": "2"}]},
     {"identifier": [{"system": "s", "value": "1"}, {"system": "s", "value": "2"}]}),
    ("old identifiers stay old", {"identifier": [{"system": "s", "value": "1", "use": "old"}]},
     {"identifier": [{"system": "s", "value": "1"}]},
     {"identifier": [{"system": "s", "value": "1", "use": "old"}]}),
    ("telecoms by use", {"telecom": [{"use": "home", "value": "1"}, {"use": "work", "value": "2"}]},
     {"telecom": [{"use": "home", "value": "3"}]},
     {"telecom": [{"use": "home", "value": "3"}, {"use": "work", "value": "2"}]}),
    ("extensions by url", {"extension": [{"url": "a", "x": 1}, {"url": "b"}]},
     {"extension": [{"url": "a", "x": 2}]}, {"extension": [{"url": "a", "x": 2}, {"url": "b"}]}),
    ("participants by type",
     {"participant": [{"type": codes("ATND"), "n": 1}, {"type": codes("REF")}]},
     {"participant": [{"type": codes("ATND"), "n": 2}, {"type": codes("ATND"), "n": 3}]},
     {"participant": [{"type": codes("ATND"), "n": 2}, {"type": codes("ATND"), "n": 3},
                      {"type": codes("REF")}]}),
    ("addresses are a whole", {"address": [{"city": "a"}, {"city": "b"}]},
     {"address": [{"city": "c"}]}, {"address": [{"city": "c"}]}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("stored", "said", "expected"), [case[1:] for case in UNITED], ids=[c[0] for c in UNITED]
)
def test_update(stored: dict[str, Any], said: dict[str, Any], expected: dict[str, Any]) -> None:
    assert united(stored, said) == expected


@pytest.mark.parametrize(("_", "stored", "said", "expected"), UNITED, ids=[c[0] for c in UNITED])
def test_same_update_again_changes_nothing(
    _: str, stored: dict[str, Any], said: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert united(united(stored, said), said) == expected


WITHOUT: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("birthDate", {"birthDate": "2026", "_birthDate": {}, "b": 1}, {"b": 1}),
    ("birthDate", {"b": 1}, {"b": 1}),
    ("period.end", {"period": {"start": "1", "end": "2"}}, {"period": {"start": "1"}}),
    ("period.end", {"period": {"end": "2"}}, {}),
    ("period.end", {"b": 1}, {"b": 1}),
    ("telecom(use=home)", {"telecom": [{"use": "home"}, {"use": "work"}]},
     {"telecom": [{"use": "work"}]}),
    ("telecom(use=home)", {"telecom": [{"use": "home"}]}, {}),
    ("participant(type.coding.code=REF)",
     {"participant": [{"type": codes("REF")}, {"type": codes("ATND")}]},
     {"participant": [{"type": codes("ATND")}]}),
    ("extension(url=http://h.org/a.b)", {"extension": [{"url": "http://h.org/a.b"}]}, {}),
    ("address.district", {"address": [{"city": "a", "district": "b"}, {"district": "c"}]},
     {"address": [{"city": "a"}]}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "stored", "expected"), WITHOUT)
def test_deletion(path: str, stored: dict[str, Any], expected: dict[str, Any]) -> None:
    assert without(stored, [path]) == expected
