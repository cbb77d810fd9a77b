"""Whose message it is."""

import pytest

from adapters.hl7.message.tokenizer import parse
from adapters.hl7.profiles.attribution import Attribution, attribute
from adapters.hl7.profiles.origin import Origin
from adapters.hl7.profiles.read import Profiles, read, together

MESSAGE = parse("MSH|^~\\&|LIS^1.2^ISO|LAB|EHR|H|2026||ORU^R01|C1|P|2.5.1\r")
NEAR = Origin("mllp", "10.1.2.3:5000")
FINGERPRINT = "ab" * 32


def profiles(**said: str) -> Profiles:
    """Return profiles by name, each with the lines of its match table."""
    return together(
        [
            read(f"{name}.toml", f"version='1'\n[match]\n{text}".encode())
            for name, text in said.items()
        ]
    )


def whose(known: Profiles, origin: Origin = NEAR) -> tuple[str, str, tuple[str, ...]]:
    found = attribute(known, MESSAGE, origin)
    return found.sender, found.doubt, found.among


@pytest.mark.parametrize(
    ("text", "sender"),
    [
        ("applications=['LIS']", "a"),
        ("applications=['1.2']", "a"),
        ("applications=['HIS']", "LIS-LAB"),
        ("facilities=['LAB']", "a"),
        ("applications=['LIS']\nfacilities=['OTHER']", "LIS-LAB"),
        ("addresses=['10.1.0.0/16']", "a"),
        ("addresses=['10.2.0.0/16']", "LIS-LAB"),
        ("channels=['mllp']", "a"),
        ("channels=['tls']", "LIS-LAB"),
        ("pattern='^MSH.*ORU'", "a"),
        ("pattern='ADT'", "LIS-LAB"),
        ("tls=['lis.example']", "LIS-LAB"),
        ("addresses=['10.2.0.0/16']\napplications=['LIS']", "LIS-LAB"),
        ("", "a"),
    ],
)
def test_all_that_is_asked_must_hold(text: str, sender: str) -> None:
    doubt = "" if sender == "a" else "UNKNOWN_SENDER"
    assert whose(profiles(a=text)) == (sender, doubt, ())


@pytest.mark.parametrize("named", ["LIS.example", f"sha256:{FINGERPRINT}", FINGERPRINT.upper()])
def test_certificate_is_known_by_name_or_fingerprint(named: str) -> None:
    origin = Origin("tls", "10.9.9.9:1", names=("lis.example",), fingerprint=FINGERPRINT)
    assert whose(profiles(a=f"tls=['{named}']"), origin)[0] == "a"
    assert whose(profiles(a=f"tls=['{named}']"))[1] == "UNKNOWN_SENDER"


@pytest.mark.parametrize(
    ("stronger", "weaker"),
    [
        ("addresses=['10.1.2.3/32']", "applications=['LIS']\nfacilities=['LAB']"),
        ("applications=['LIS']", "pattern='LIS'"),
        ("pattern='LIS'", "channels=['mllp']"),
        ("channels=['mllp']", ""),
    ],
)
def test_stronger_evidence_decides(stronger: str, weaker: str) -> None:
    assert whose(profiles(a=weaker, b=stronger)) == ("b", "", ())


def test_equal_evidence_is_ambiguous_and_names_the_profiles() -> None:
    known = profiles(b="applications=['LIS']", a="applications=['LIS']")
    assert whose(known) == ("LIS-LAB", "AMBIGUOUS_SENDER", ("a", "b"))
    assert attribute(known, MESSAGE, NEAR).text == "Several profiles match: a, b"


def test_channel_names_its_profile_which_must_hold_all_the_same() -> None:
    known = profiles(a="applications=['HIS']", b="", c="")
    assert whose(known, Origin("x", sender="b"))[:2] == ("b", "")
    assert whose(known, Origin("x", sender="a"))[:2] == ("LIS-LAB", "UNKNOWN_SENDER")


def test_name_of_a_configured_sender_is_not_taken_by_another() -> None:
    text = b"version='1'\nsender='LIS-LAB'\n[match]\naddresses=['10.2.0.0/16']"
    known = together([read("a.toml", text)])
    assert whose(known) == ("~LIS-LAB", "UNKNOWN_SENDER", ())


def test_without_profiles_a_sender_is_what_it_calls_itself() -> None:
    expected = Attribution("LIS-LAB", doubt="UNKNOWN_SENDER")
    assert attribute(Profiles(), MESSAGE, NEAR) == expected


def test_address_of_ipv6_is_compared_as_that_of_ipv4_where_it_is_one() -> None:
    known = profiles(a="addresses=['10.1.0.0/16']", b="addresses=['fd00::/8']")
    assert whose(known, Origin("mllp", "::ffff:10.1.2.3:5000"))[0] == "a"
    assert whose(known, Origin("mllp", "fd00::1:5000"))[0] == "b"


def test_no_message_takes_a_pattern_long() -> None:
    """A matcher that backtracks would not end in a lifetime."""
    known = profiles(a="pattern='^(([^|]*)+[|]?)+@$'")
    message = parse(f"MSH|^~\\&|{'A' * 4_000}|LAB|EHR|H|2026||ORU^R01|C1|P|2.5.1\r")
    assert attribute(known, message, NEAR).doubt == "UNKNOWN_SENDER"
