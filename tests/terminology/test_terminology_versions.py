import pytest

from terminology.issues import Refusal
from terminology.rules import Decision, VersionRules, decide, read_rule
from terminology.versions import is_wildcard, latest, matches, split

SNOMED, RELEASE = "http://snomed.info", "sct/11000172109/version/20250901"


@pytest.mark.parametrize(
    ("pattern", "version", "expected"),
    [
        ("1.0.0", "1.0.0", True),
        ("1.0.x", "1.0.7", True),
        ("1.x", "1.2.3", True),
        ("1.x.x", "2.0.0", False),
        ("1.*.3", "1.2.3", True),
        ("1.*.3", "1.2.4", False),
        ("1", "1.0.0", False),
        ("1.0.x", "1.0", False),
        ("1.0.x", None, False),
        ("http://snomed.info/sct/1", "http://snomed.info/sct/1/version/20250101", True),
        ("http://snomed.info/sct/1", "http://snomed.info/sct/11/version/20250101", False),
    ],
)
def test_a_pattern_fits_its_instances(pattern: str, version: str | None, *, expected: bool) -> None:
    assert matches(pattern, version) is expected


def test_a_partial_version_is_no_wildcard() -> None:
    assert [is_wildcard(one) for one in ("1", "1.0", "1.x", "*", "max")] == [
        False, False, True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("versions", "algorithm", "expected"),
    [
        (["1.9.0", "1.10.0", None], None, "1.10.0"),
        (["1.0.0", "1.0.0-rc1"], "semver", "1.0.0"),
        (["2024-12-01", "2025-01-01"], None, "2025-01-01"),
        ([f"{SNOMED}/x{RELEASE}", f"{SNOMED}/{RELEASE}"], None, f"{SNOMED}/{RELEASE}"),
        ([f"{SNOMED}/x{RELEASE}", None], None, f"{SNOMED}/x{RELEASE}"),
        ([None], None, None),
        ([], None, None),
    ],
)
def test_the_latest_is_by_numbers(
    versions: list[str | None], algorithm: str | None, expected: str | None
) -> None:
    assert latest(versions, algorithm) == expected


def test_a_canonical_is_split_at_the_bar() -> None:
    assert [split("http://a|1"), split("http://a")] == [("http://a", "1"), ("http://a", None)]


@pytest.mark.parametrize("text", ["1.0.0", "http://a", "http://a|"])
def test_a_rule_without_a_version_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        read_rule([text])
    assert refused.value.status == 400


def test_two_versions_of_one_system_in_one_rule_are_refused() -> None:
    with pytest.raises(Refusal) as refused:
        read_rule(["http://a|1", "http://a|2"])
    assert refused.value.issues[0].message_id == "SYSTEM_VERSION_MULTIPLE_OVERRIDE"
    assert read_rule(["http://a|1", "http://a|1"]) == {"http://a": "1"}


@pytest.mark.parametrize(
    ("force", "pin", "default", "check", "expected"),
    [
        ("9", "1", "2", "3", Decision("9", "force")),
        (None, "1", "2", "3", Decision("1", "pin")),
        (None, None, "2", "3", Decision("2", "default")),
        (None, None, None, "3", Decision("3", "check")),
        (None, None, None, None, Decision(None, "nothing")),
    ],
)
def test_the_order_of_the_version_rules(
    force: str | None, pin: str | None, default: str | None, check: str | None, expected: Decision
) -> None:
    def rule(version: str | None) -> dict[str, str]:
        return {"http://a": version} if version else {}

    rules = VersionRules(rule(force), rule(default), rule(check))
    assert decide(rules, "http://a", pin) == expected
