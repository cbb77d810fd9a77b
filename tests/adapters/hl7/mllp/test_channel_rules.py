import dataclasses
from datetime import UTC, datetime

import pytest

from adapters.hl7.inbox.received import Received
from adapters.hl7.mllp import arrival as batches
from adapters.hl7.mllp.arrival import Desk, answers, arrival
from adapters.hl7.mllp.examine import examine
from adapters.hl7.mllp.framing import Frame, Kind
from adapters.hl7.profiles.origin import Origin
from adapters.hl7.profiles.read import Profiles, read, together
from fhir_server.hl7_settings import Hl7Settings

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
REST = "PID|1||P1^^^H\rOBR|1||F1|X\r"
ORIGIN = Origin("mllp", "10.0.0.7:1234")


def text(
    kind: str = "ORU^R01", number: str = "", accept: str = "", name: str = "C1", rest: str = REST
) -> str:
    return f"MSH|^~\\&|LIS|LAB|EHR|H|2026||{kind}|{name}|P|2.5.1|{number}||{accept}|\r{rest}"


def examined(content: str, said: dict[str, object], **given: object) -> Received:
    frame = Frame(Kind.WHOLE, content.encode())
    return examine(frame, Hl7Settings.model_validate(said), NOW, origin=ORIGIN, **given)  # type: ignore[arg-type]


def msa(received: Received) -> list[str]:
    return received.ack.decode().split("\r")[1].split("|")[1:] if received.ack else []


@pytest.mark.parametrize(
    ("kind", "said", "code", "state"),
    [
        ("ORU^R01", {"accepted_types": ["ORU"]}, "AA", "stored"),
        ("ORU^R01", {"accepted_types": ["ADT", "ORU^R01"]}, "AA", "stored"),
        ("ORU^R01", {"accepted_types": ["ORU^R30"]}, "AR", "rejected"),
        ("ORU^R01", {"accepted_types": ["ADT"], "accept_unknown": True}, "AR", "rejected"),
        ("BAR^P01", {}, "AR", "rejected"),
        ("BAR^P01", {"accept_unknown": True}, "AA", "stored"),
        ("BAR^P01", {"accepted_types": ["BAR"]}, "AR", "rejected"),
    ],
)
def test_types_are_those_of_the_channel_that_are_mapped(
    kind: str, said: dict[str, object], code: str, state: str
) -> None:
    received = examined(text(kind), said)
    assert (msa(received)[0], received.state) == (code, state)
    assert received.reason == ("UNSUPPORTED_MESSAGE" if state == "rejected" else None)


@pytest.mark.parametrize("accept", ["", "AL"])
def test_acknowledgement_is_kept_and_never_acknowledged(accept: str) -> None:
    received = examined(text("ACK^R01", accept=accept, rest="MSA|AA|X\r"), {})
    assert (received.state, received.ack) == ("rejected", None)


LAB = b'version = "1"\n[match]\napplications = ["LIS"]\n'


@pytest.mark.parametrize(
    ("files", "original", "enhanced", "reason"),
    [
        ({}, "AR", "CR", "UNKNOWN_SENDER"),
        ({"lab": LAB}, "AA", "CA", None),
        ({"lab": LAB, "other": LAB}, "AR", "CR", "AMBIGUOUS_SENDER"),
    ],
    ids=["nobody", "one", "two"],
)
def test_strict_sender_takes_messages_of_one_profile(
    files: dict[str, bytes], original: str, enhanced: str, reason: str | None
) -> None:
    profiles = together([read(f"{name}.toml", raw) for name, raw in files.items()])
    for accept, code in (("", original), ("AL", enhanced)):
        received = examined(text(accept=accept), {"strict_sender": True}, profiles=profiles)
        assert (msa(received)[0], received.reason) == (code, reason)
        if reason:
            assert received.ack is not None
            assert b"|207^" in received.ack
            assert b"other" not in received.ack


def test_unknown_sender_is_taken_otherwise() -> None:
    assert examined(text(), {}, profiles=Profiles()).state == "stored"


def test_profile_says_how_its_senders_text_is_read() -> None:
    said = read("lab.toml", LAB + b'[text]\ncharset = "8859/5"\n')
    frame = Frame(Kind.WHOLE, text(rest="PID|1||Ж^^^H\rOBR|1\r").encode("iso8859-5"))
    received = examine(frame, Hl7Settings(), NOW, origin=ORIGIN, profiles=together([said]))
    assert received.partition_keys[0].startswith("Ж ")


@pytest.mark.parametrize(
    ("number", "expected", "told", "counted"),
    [
        ("", {"LIS-LAB": 5}, ["AA", "C1"], None),
        ("5", {"LIS-LAB": 5}, ["AA", "C1"], 5),
        ("7", {}, ["AA", "C1"], 7),
        ("-1", {"LIS-LAB": 5}, ["AA", "C1"], None),
        ("0", {"LIS-LAB": 5}, ["AA", "C1", "", "5"], None),
        ("0", {}, ["AA", "C1", "", "-1"], None),
        ("6", {"LIS-LAB": 5},
         ["AE", "C1", "The sequence number is not the expected one", "5"], None),
        ("4", {"LIS-LAB": 5},
         ["AE", "C1", "The sequence number is not the expected one", "5"], None),
        ("x", {}, ["AE", "C1", "The sequence number is not the expected one", "-1"], None),
    ],
)  # fmt: skip
def test_sequence_numbers_are_checked_where_that_is_on(
    number: str, expected: dict[str, int], told: list[str], counted: int | None
) -> None:
    received = examined(text(number=number), {"sequence": True}, expected=expected)
    assert (msa(received), received.sequence) == (told, counted)
    assert received.ack is not None
    assert b"\rERR" not in received.ack
    enhanced = examined(text(number=number, accept="AL"), {"sequence": True}, expected=expected)
    assert msa(enhanced) == [told[0].replace("A", "C", 1), *told[1:]]
    assert examined(text(number=number), {}, expected=expected).state == "stored"


def test_message_that_only_starts_the_sequence_is_not_processed() -> None:
    content = text(kind="^", number="0", rest="")
    assert examined(content, {"sequence": True}, expected={"LIS-LAB": 3}).state == "done"


def desk(**said: object) -> Desk:
    return Desk(Hl7Settings.model_validate(said), ORIGIN, Profiles(), {})


def test_numbers_are_counted_on_within_a_batch() -> None:
    own = desk(sequence=True)
    frame = Frame(
        Kind.WHOLE, "".join(text(number=n, name=f"C{n}") for n in ("3", "4", "6")).encode()
    )
    found = arrival(frame, own, NOW).received
    assert [one.state for one in found] == ["stored", "stored", "rejected"]
    assert own.expected == {"LIS-LAB": 5}


ENVELOPE = "BHS|^~\\&|LIS|LAB|EHR|H|2026||||B7\r{}BTS|{}\r"


def told(content: str, **said: object) -> tuple[list[Received], list[str]]:
    own = desk(**said)
    whole = arrival(Frame(Kind.WHOLE, content.encode()), own, NOW)
    sent = answers(whole, [one.ack for one in whole.received], own.settings, NOW)
    return list(whole.received), [
        ",".join(
            f"{s[0]}{'|'.join(s[1:3])}"
            for s in (line.split("|") for line in one.decode().split("\r"))
            if s[0] in {"MSA", "BTS"}
        )
        for one in sent
    ]


GOOD, BAD = text(name="C1"), text("BAR^P01", name="C2")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"batch_ack": "batch"}, ["MSAAA|C1,MSAAR|C2,BTS2"]),
        ({"batch_ack": "errors"}, ["MSAAR|C2,BTS1"]),
        ({"batch_ack": "each"}, ["MSAAA|C1", "MSAAR|C2"]),
    ],
)
def test_batch_is_answered_as_set(said: dict[str, object], expected: list[str]) -> None:
    assert told(ENVELOPE.format(GOOD + BAD, 2), **said)[1] == expected


def test_batch_of_too_many_messages_is_refused_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_MOST_MESSAGES", 1)
    content = ENVELOPE.format(GOOD + BAD, 2)
    received, sent = told(content)
    assert [(one.state, one.reason, one.control_id) for one in received] == [
        ("rejected", "OVERSIZE", None)
    ]
    assert sent == ["MSAAR|C1"]
    of_file = dataclasses.replace(desk(), origin=Origin("file", framed=False))
    assert len(arrival(Frame(Kind.WHOLE, content.encode()), of_file, NOW).received) == 3


def test_batch_without_envelope_is_answered_one_by_one() -> None:
    assert told(GOOD + BAD)[1] == ["MSAAA|C1", "MSAAR|C2"]


def test_batch_of_a_sender_that_wants_no_answer_has_none() -> None:
    assert told(ENVELOPE.format(text(accept="NE"), 1))[1] == []


def test_rows_of_a_batch_have_one_number_that_is_the_same_again() -> None:
    content = ENVELOPE.format(GOOD + BAD, 2)
    first, again = told(content)[0], told(content)[0]
    assert [(one.type, one.state) for one in first] == [
        ("ORU", "stored"),
        ("BAR", "rejected"),
        ("BATCH", "done"),
    ]
    assert len({one.batch_id for one in first + again}) == 1
    assert first[2].raw == b"BHS|^~\\&|LIS|LAB|EHR|H|2026||||B7\rBTS|2\r"


def test_wrong_count_flags_the_batch_and_its_messages_are_taken() -> None:
    found, sent = told(ENVELOPE.format(GOOD, 2))
    assert [(one.state, one.reason) for one in found] == [
        ("stored", None),
        ("dead", "BATCH_COUNT_MISMATCH"),
    ]
    assert sent == ["MSAAA|C1,BTS1"]


def test_batch_that_was_cut_is_refused_whole_and_may_come_again() -> None:
    content = "BHS|^~\\&|LIS\r" + GOOD + text(name="C3")
    found, sent = told(content)
    assert [(one.state, one.reason, one.control_id, one.raw) for one in found] == [
        ("rejected", "BATCH_INCOMPLETE", None, content.encode())
    ]
    assert sent == ["MSAAE|C1,MSAAE|C3,BTS2"]


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({"channels": [{"name": "mllp", "port": 1}]}, "a name of its own"),
        ({"channels": [{"name": "a", "port": 1}, {"name": "a", "port": 2}]}, "a name of its own"),
        ({"channels": [{"name": "a b", "port": 1}]}, "name"),
        ({"channels": [{"name": "a", "port": 1, "workers": 2}]}, "workers"),
        ({"allow_hosts": ["10.0.0.0/8", "hospital"]}, "hospital"),
        ({"channels": [{"name": "a", "port": 1, "allow_hosts": ["nine"]}]}, "nine"),
        ({"channels": [{"name": "a", "port": 1, "tls": {"certificate": "c"}}]}, "key"),
        ({"channels": [{"name": "a", "port": 1, "tls": {
            "certificate": "c", "key": "k", "client_cert": "required"}}]}, "client_ca"),
        ({"channels": [{"name": "a", "port": 1, "tls": {
            "certificate": "c", "key": "k", "client_names": ["x"]}}]}, "client_cert is none"),
    ],
)  # fmt: skip
def test_wrong_channels_stop_the_start(said: dict[str, object], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        Hl7Settings.model_validate(said)


def test_channel_has_what_it_says_over_what_all_have() -> None:
    said = {
        "ack_when": "committed",
        "sequence": True,
        "channels": [{"name": "lab", "port": 1, "sequence": False, "mllp_release": 2}],
    }
    settings = Hl7Settings.model_validate(said)
    lab = settings.of("lab")
    assert (lab.channel, lab.ack_when, lab.sequence, lab.mllp_release) == (
        *("lab", "committed", False, 2),
    )
    assert settings.of("mllp") is settings
