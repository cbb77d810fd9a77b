from datetime import UTC, datetime

import pytest

from adapters.hl7.acknowledgement.ack import Header, Problem, acknowledge
from adapters.hl7.inbox.received import Received
from adapters.hl7.message.tokenizer import MOST_PARTS
from adapters.hl7.mllp.examine import examine
from adapters.hl7.mllp.framing import Frame, Kind
from fhir_server.hl7_settings import Hl7Settings

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MSH = "MSH|^~\\&|LIS|LAB|EHR|HOSP|20260101||ORU^R01^ORU_R01|C1|P|2.5.1"
REST = "\rPID|1||P1^^^H~P2\rOBR|1||F1|X\r"


def examined(text: str, kind: Kind = Kind.WHOLE, **settings: object) -> Received:
    return examine(Frame(kind, text.encode()), Hl7Settings(**settings), NOW)  # type: ignore[arg-type]


def segments(received: Received) -> list[list[str]]:
    assert received.ack is not None
    return [line.split("|") for line in received.ack.decode().split("\r")[:-1]]


def msa(received: Received) -> list[str]:
    return segments(received)[1]


def test_message_that_passes_is_stored_and_accepted() -> None:
    received = examined(MSH + REST)
    assert (received.state, received.reason, received.ack_mode) == ("stored", None, "original")
    assert msa(received) == ["MSA", "AA", "C1"]
    assert (received.type, received.event, received.control_id) == ("ORU", "R01", "C1")
    assert (received.sender, received.partition_keys) == ("LIS-LAB", ("P1 H", "P2 "))


def test_acknowledgement_answers_to_the_sender() -> None:
    header = MSH.replace("ORU^R01^ORU_R01", "ORU^R01") + "||||||UNICODE UTF-8"
    msh = segments(examined(header + REST))[0]
    assert msh[1:9] == ["^~\\&", "EHR", "HOSP", "LIS", "LAB", "20260102030405+0000", "",
                        "ACK^R01^ACK"]  # fmt: skip
    assert msh[10:] == ["P", "2.5.1", "", "", "", "", "", "UNICODE UTF-8"]
    assert len(msh[9]) == 20


def test_every_acknowledgement_has_a_control_id_of_its_own() -> None:
    ids = {segments(examined(MSH + REST))[0][9] for _ in range(50)}
    assert len(ids) == 50


def test_acknowledgement_uses_the_delimiters_of_the_sender() -> None:
    text = (MSH + REST).translate(str.maketrans("|^~&", "$%*@"))
    received = examined(text)
    assert received.ack is not None
    assert received.ack.startswith(b"MSH$%*\\@$EHR$HOSP$LIS$LAB$")
    assert b"\rMSA$AA$C1\r" in received.ack


def edited(**fields: str) -> str:
    parts = MSH.split("|")
    parts += [""] * (20 - len(parts))
    for name, value in fields.items():
        parts[int(name[1:]) - 1] = value
    return "|".join(parts) + REST


REFUSALS = [
    # text, settings, original, accept, code of table 0357, reason
    (edited(f10=""), {}, "AR", "CE", "101", "BAD_MSH"),
    (edited(f9="BAR^P01"), {}, "AR", "CR", "200", "UNSUPPORTED_MESSAGE"),
    (edited(f9="ORU^R99"), {}, "AR", "CR", "201", "UNSUPPORTED_MESSAGE"),
    (edited(f11="T"), {}, "AR", "CR", "202", "WRONG_PROCESSING_ID"),
    (edited(f12="3.0"), {"strict_version": True}, "AR", "CR", "203", "UNSUPPORTED_MESSAGE"),
    (edited(f18="KLINGON"), {}, "AE", "CE", "102", "CHARSET_UNSUPPORTED"),
    (MSH + "\rOBR|1||F1|X\r", {}, "AE", "CE", "100", "NO_PATIENT_ID"),
    (MSH + "\rPID|1||P1\r", {}, "AE", "CE", "100", "NO_RESULTS"),
]


@pytest.mark.parametrize(("text", "settings", "original", "accept", "code", "reason"), REFUSALS)
def test_every_refusal_of_the_table(
    text: str, settings: dict[str, object], original: str, accept: str, code: str, reason: str
) -> None:
    received = examined(text, **settings)
    assert (received.state, received.reason) == ("rejected", reason)
    assert msa(received)[1] == original
    err = segments(received)[2]
    assert (err[3].split("^")[0], err[4]) == (code, "E")
    parts = text.split("\r", maxsplit=1)[0].split("|")
    parts += [""] * (16 - len(parts))
    parts[14] = "AL"
    enhanced = "|".join(parts) + "\r" + text.split("\r", 1)[1]
    assert msa(examined(enhanced, **settings))[1] == accept


@pytest.mark.parametrize("text", ["", "hello", "PID|1\r", "MSH", "MSH|^^^^|\r", "FHS|^~\\&|\r"])
def test_what_has_no_header_is_rejected_without_a_name(text: str) -> None:
    received = examined(text)
    assert (received.state, received.reason) == ("rejected", "BAD_MSH")
    assert msa(received)[:3] == ["MSA", "AR", ""]


def test_undecodable_message_is_refused_by_its_own_name() -> None:
    frame = Frame(Kind.WHOLE, edited(f18="ISO IR87").encode() + b"PID|\xff\xff")
    received = examine(frame, Hl7Settings(), NOW)  # type: ignore[call-arg]
    assert received.reason == "UNDECODABLE"
    assert msa(received)[:3] == ["MSA", "AE", "C1"]


def test_wrong_processing_id_is_right_where_it_is_accepted() -> None:
    received = examined(edited(f11="T"), accepted_processing_ids=("P", "T"))
    assert received.state == "stored"


def test_headless_message_is_rejected_by_its_name_and_kept() -> None:
    received = examined(MSH + REST, Kind.HEADLESS)
    assert (received.state, received.reason) == ("rejected", "FRAMING_NO_START")
    assert (msa(received)[1:3], received.raw) == (["AR", "C1"], (MSH + REST).encode())


def test_headless_message_can_be_accepted() -> None:
    assert examined(MSH + REST, Kind.HEADLESS, missing_vt="accept").state == "stored"


def test_message_of_too_many_parts_is_rejected_by_its_name() -> None:
    """Such a message would fill the memory of whoever maps it, again and again."""
    received = examined(f"{MSH}{REST}OBX|1|CE|A||{'x~' * MOST_PARTS}")
    assert (received.state, received.reason) == ("rejected", "MAPPING_ERROR")
    assert msa(received) == ["MSA", "AR", "C1", "The message has too many parts"]
    assert received.partition_keys == ("sender LIS-LAB",)


def test_oversize_message_is_rejected_by_its_name() -> None:
    received = examined(MSH + "\rPID|1", Kind.OVERSIZE)
    assert (received.state, received.reason) == ("rejected", "OVERSIZE")
    assert msa(received)[1:3] == ["AR", "C1"]


@pytest.mark.parametrize("kind", [Kind.TRUNCATED, Kind.JUNK])
def test_leftovers_are_kept_and_not_answered(kind: Kind) -> None:
    received = examined(MSH, kind)
    assert (received.state, received.ack, received.control_id) == ("dead", None, None)


@pytest.mark.parametrize(
    ("condition", "accepted", "refused"),
    [("AL", "CA", "CR"), ("NE", None, None), ("ER", None, "CR"), ("SU", "CA", None),
     ("", None, None)],
)  # fmt: skip
def test_enhanced_mode_answers_as_msh_15_says(
    condition: str, accepted: str | None, refused: str | None
) -> None:
    good = examined(edited(f15=condition, f16="NE"))
    bad = examined(edited(f15=condition, f16="NE", f9="BAR^P01"))
    assert (good.ack_mode, good.state) == ("enhanced", "stored")
    assert [r.ack and msa(r)[1] for r in (good, bad)] == [accepted, refused]


def test_answer_can_wait_for_the_commit() -> None:
    received = examined(MSH + REST, ack_when="committed")
    assert (received.state, received.ack_mode, received.ack) == ("stored", "committed", None)


def test_guessed_charset_is_flagged() -> None:
    frame = Frame(Kind.WHOLE, (MSH + REST).encode() + "NTE|1||é".encode("latin-1"))
    assert examine(frame, Hl7Settings(), NOW).warnings == {"charset_guessed": 1}  # type: ignore[call-arg]


def test_message_without_identifiers_belongs_to_its_sender() -> None:
    assert examined(MSH + "\rPID|1\rOBR|1\r").partition_keys == ("sender LIS-LAB",)


def test_resent_content_is_known_by_its_hash() -> None:
    other = examined(MSH.replace("C1", "C2") + REST)
    assert examined(MSH + REST).content_sha256 == other.content_sha256


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("2.3.1", "ERR|PID^1^3^101"),
        ("2.4", "ERR|PID^1^3^101"),
        ("2.5", "ERR||PID^1^3^1^1|101^Required field missing^HL70357|E||||no id"),
        ("2.8.2", "ERR||PID^1^3^1^1|101^Required field missing^HL70357|E||||no id"),
        ("odd", "ERR||PID^1^3^1^1|101^Required field missing^HL70357|E||||no id"),
    ],
)
def test_err_has_the_form_of_its_version(version: str, expected: str) -> None:
    problem = Problem("no id", "101", "PID", 1, 3)
    ack = acknowledge(Header(version=version), "AE", NOW, (problem,))
    assert ack.decode().split("\r")[2] == expected


def test_err_without_field_names_the_segment() -> None:
    ack = acknowledge(Header(), "AE", NOW, (Problem("gone", "100", "PID"),))
    assert ack.decode().split("\r")[2] == (
        "ERR||PID^1|100^Segment sequence error^HL70357|E||||gone"
    )


def test_refusals_quote_nothing_of_the_message() -> None:
    for text, settings, *_ in REFUSALS:
        received = examined(text, **settings)
        said = "|".join("|".join(s[3:] if s[0] == "MSA" else s) for s in segments(received)[1:])
        assert "P1" not in said
        assert "BAR" not in said
