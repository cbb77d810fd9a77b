from datetime import UTC, datetime

import pytest

from adapters.hl7.acknowledgement.ack import Header, Problem, acknowledge, header_of
from adapters.hl7.acknowledgement.batch_ack import acknowledge_batch
from adapters.hl7.acknowledgement.outcome import application, problem_of
from adapters.hl7.acknowledgement.responses import response_form
from adapters.hl7.mapping.context import Refusal
from adapters.hl7.message.batch import BatchHeader
from adapters.hl7.message.tokenizer import Message, parse

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MSH = "MSH|^~\\&|LIS|LAB|EHR|H|2026||{}|C1|P|2.5.1|||{}|{}\r"
REFUSAL = Refusal("NO_PATIENT_ID", "no id", "PID-3", "101")


def message(kind: str = "ORU^R01", accept: str = "", app: str = "", rest: str = "") -> Message:
    return parse(MSH.format(kind, accept, app) + rest)


def lines(ack: bytes | None) -> list[str]:
    return ack.decode().split("\r")[:-1] if ack else []


@pytest.mark.parametrize(
    ("condition", "good", "bad"),
    [("AL", "AA", "AE"), ("NE", "", ""), ("ER", "", "AE"), ("SU", "AA", ""), ("", "", "")],
)
def test_application_acknowledgement_is_sent_as_msh_16_says(
    condition: str, good: str, bad: str
) -> None:
    told = message(accept="NE", app=condition)
    acks = [lines(application(told, "enhanced", refusal, NOW)) for refusal in (None, REFUSAL)]
    assert [ack[1].split("|")[1] if ack else "" for ack in acks] == [good, bad]


def test_application_acknowledgement_wants_none_itself() -> None:
    msh = lines(application(message(app="AL"), "enhanced", None, NOW))[0].split("|")
    assert msh[14:16] == ["NE", "NE"]
    assert msh[9] != "C1"


@pytest.mark.parametrize(("mode", "code"), [("committed", "AE"), ("original", None)])
def test_original_mode_is_told_the_outcome_only_where_it_waits(mode: str, code: str | None) -> None:
    ack = lines(application(message(), mode, REFUSAL, NOW))
    assert (ack[1].split("|")[1] if ack else None) == code


@pytest.mark.parametrize(
    ("place", "version", "expected"),
    [
        ("PID-3", "2.5", "ERR||PID^1^3^1^1|101^Required field missing^HL70357|E||||no id"),
        ("PID[2]-3[4].5", "2.5", "ERR||PID^2^3^4^5|101^Required field missing^HL70357|E||||no id"),
        ("PID-3.4.2", "2.8", "ERR||PID^1^3^1^4^2|101^Required field missing^HL70357|E||||no id"),
        ("PID", "2.5", "ERR||PID^1|101^Required field missing^HL70357|E||||no id"),
        ("", "2.5", "ERR|||101^Required field missing^HL70357|E||||no id"),
        ("bundle.entry[0]", "2.5", "ERR|||101^Required field missing^HL70357|E||||no id"),
        ("PID[2]-3[4].5", "2.4", "ERR|PID^2^3^101"),
        ("PID", "2.3", "ERR|PID^1^^101"),
        ("", "2.2", "ERR|^^^101"),
    ],
)
def test_err_says_where(place: str, version: str, expected: str) -> None:
    problem = problem_of(Refusal("NO_PATIENT_ID", "no id", place, "101"))
    assert lines(acknowledge(Header(version=version), "AE", NOW, (problem,)))[2] == expected


def test_several_problems_are_several_err_or_one_that_repeats() -> None:
    problems = (Problem("a", "101", "PID", 1, 3), Problem("b", "103", "OBX", 2, 11))
    new = lines(acknowledge(Header(version="2.5"), "AE", NOW, problems))
    assert [line.split("|")[2] for line in new[2:]] == ["PID^1^3^1^1", "OBX^2^11^1^1"]
    old = lines(acknowledge(Header(version="2.4"), "AE", NOW, problems))
    assert old[2:] == ["ERR|PID^1^3^101~OBX^2^11^103"]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("ORM^O01", "ORR^O02^ORR_O02"),
        ("OML^O21", "ORL^O22^ORL_O22"),
        ("OML^O33", "ORL^O34^ORL_O34"),
        ("OML^O35", "ORL^O36^ORL_O36"),
        ("ORU^R01", "ACK^R01^ACK"),
    ],
)
def test_orders_are_answered_in_their_own_form(kind: str, told: str) -> None:
    header = header_of(message(kind))
    ack = lines(acknowledge(header, "AA", NOW, response=response_form(header)))
    assert ack[0].split("|")[8] == told
    assert ack[1:] == ["MSA|AA|C1"]


ORDERS = "ORC|NW|P1^A|F1|G1||||||X\rOBR|1\rORC|DC|P2\r"
SPECIMENS = "PID|1||7\rSPM|1|S1\rSAC|||T1\rORC|NW|P1\rOBR|1\rSPM|2|S2\rORC|NW|P2\r"


@pytest.mark.parametrize(
    ("kind", "rest", "refusal", "told"),
    [
        ("OML^O21", ORDERS, None, ["ORC|OK|P1^A|F1|G1", "ORC|DR|P2"]),
        ("ORM^O01", ORDERS, REFUSAL, ["ORC|UA|P1^A|F1|G1", "ORC|UD|P2"]),
        ("OML^O33", SPECIMENS, None,
         ["SPM|1|S1", "SAC|||T1", "ORC|OK|P1", "SPM|2|S2", "ORC|OK|P2"]),
        ("OML^O21", "ORC|CA|P1\r", None, []),
        ("OML^O21", "ORC|CA|P1\r", REFUSAL, ["ORC|UC|P1"]),
        ("ORU^R01", ORDERS, None, []),
    ],
    ids=["taken", "refused", "by-specimen", "cancel-is-a-request", "no-cancel", "no-order"],
)  # fmt: skip
def test_outcome_tells_what_became_of_each_order(
    kind: str, rest: str, refusal: Refusal | None, told: list[str]
) -> None:
    ack = lines(application(message(kind, app="AL", rest=rest), "enhanced", refusal, NOW, "orl"))
    assert [line for line in ack[2:] if not line.startswith("ERR")] == told


def test_order_is_answered_by_ack_unless_set() -> None:
    ack = lines(application(message("OML^O21", app="AL", rest=ORDERS), "enhanced", None, NOW))
    assert ack[0].split("|")[8] == "ACK^O21^ACK"
    assert ack[1:] == ["MSA|AA|C1"]


def test_batch_is_answered_by_a_batch_that_names_it() -> None:
    header = BatchHeader("|", "^~\\&", ("LIS", "LAB"), ("EHR", "H"), "B7")
    acks = [b"MSH|one\rMSA|AA|1\r", b"MSH|two\rMSA|AE|2\r"]
    told = lines(acknowledge_batch(header, acks, NOW, "a finding"))
    bhs = told[0].split("|")
    assert (*bhs[:9], *bhs[9:10], bhs[11]) == (
        *("BHS", "^~\\&", "EHR", "H", "LIS", "LAB", "20260102030405+0000", "", ""),
        *("a finding", "B7"),
    )
    assert told[1:] == ["MSH|one", "MSA|AA|1", "MSH|two", "MSA|AE|2", "BTS|2"]


def test_sequence_numbers_are_answered_in_msa_4() -> None:
    assert lines(acknowledge(Header(control_id="C"), "AA", NOW, expected=7))[1] == "MSA|AA|C||7"
