"""Whatever a sender writes: a refusal with a reason, or valid resources and a full account."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.hl7.mapping.context import Refusal
from adapters.hl7.mapping.transform import Mapped, transform
from adapters.hl7.message.accounting import valued, written
from adapters.hl7.message.tokenizer import BadHeader, Message, parse
from fhir_server.r4 import json
from fhir_server.r4.definitions import load
from fhir_server.validation.structure import Validator
from tests.adapters.hl7.reading import MSH, PID, profile

VALIDATOR = Validator(load())
# A message in which every field that is read says something.
SEGMENTS = """\
PID|1|X|P1^^^HOSP&1.2.3&ISO^MR~P2|Y|Rao&van^Asha^K^Jr^Dr^MBBS^L|Ma^^|198001020304|F|Al^N||1 Road&x
 ^Flat^Pune^MH^411^IN^H^^D^C|Haveli|^PRN^PH^^91^20^5^1|^WPN^Internet^a@b|EN|M|HIN|A1|SSN1|DL1|M1||
 Pune|Y|2|IN|V|IN||20200101|Y
PV1|1|I|W^1^2^H|E|PRE^^^H|O^1|7^Iyer^R^^^^^^A|8^X|9^Y|MED|T^1||R|1|A2~B6|V||17^Z|V1^^^H|||||||||||||
 |||01|D|DI||||||202601010101|20260102030405|||||AV~AW||52^Q
ORC|RE|O1^A|F1^B|G1|CM|||| 20260101|||12^Doc^A||^^PH^^^^9||REAS||||Org^^5|1 St^^X|^^PH^^^^8
OBR|1|O1|F1|X^Y^LN|S|20260101|202601010101|20260101020202|5^mL|10^C|A||13|20260101|BLD&Blood&HL70487
 ^EDTA^note^ARM&Arm|16^R|^^PH^^^^7|18|19|20|21|20260101020304||CH~XX|F||1^^|28|P1&N^F1&N||R~S
 |32&Lab&Man|33|34&T&T|35&T&U
NTE|1|L|text~more|RE|5^N|20260101
OBX|1|NM|C^D^LN|1.2^1^2|1.40~<2|mg/dL^x^UCUM|1-2|H~A^b^HL70078|.9|A~R|F|20200101|x|20260101020304
 |P^Q^CLIA|16^Obs|M^N|DEV^NS~D2|2026010102|ARM|ID1^NS|m|Lab^L^7^^^CLIA&1.2&ISO|1 St^^X|25^Dir|c|d|e
 |RSLT|SUB||abs|PS^FS
OBX|2|SN|C||>^5^-^10|U/L
OBX|3|ED|C||^TEXT^PDF^Base64^JVBERi0=
OBX|4|NA|C||1^2^3~4^5^6|mV
SPM|1|P1&N^F1&N|PP^FF|BLD|M|EDTA|VENIP|ARM|||| 5^mL||D||||20260101^20260102|20260101||Y|QS||H|||
 TUBE|||ACC|O1|O2
SAC|1|A|C1|C2|||||||||||||||||10|5||mL
""".replace("\n ", "").splitlines()
WORDS = [
    *("", '""', "^", "~", "&", "\\", "\\F\\", "\\X00\\", "\\.br\\", " ", "\t", "\n", "\x00"),
    *("\x0b", "0", "-1", "1e9", "1.", ".5", "<", "<>", ">=5", "9" * 40, "20261399", "9" * 14),
    *("é", "रवि", "😀", "\u2028", "\ufeff", "\ud7ff", "A", "Z", "ZZ", "F", "Y", "X" * 300, "a  b"),
    *("urn:uuid:x", "http://x y", "#", "Patient/1", "1.2.3", "|", "HL70078", "LN", "^^^^^^^^^^^^"),
    *("&&&&", "~~~", "%", "x^y&z~w", "\\Z\\", "\\", "\x7f", "\x85", "<script>", "'", '"', ","),
]  # fmt: skip


def check(message: Message) -> None:
    try:
        found = transform(message, profile())
    except Refusal as refusal:
        reason = refusal.reason
    else:
        reason = ""
        compare(message, found)
    assert reason in {"", "NO_PATIENT_ID", "UNMAPPABLE_STATUS", "UNSUPPORTED_MESSAGE"}


def compare(message: Message, found: Mapped) -> None:
    everything = [written(message.segments[a[0]], a) for a in valued(message)]
    mapped = [written(message.segments[a[0]], a) for a in message.mapped]
    assert sorted(mapped + [address for address, _ in found.unmapped]) == sorted(everything)
    for write in found.writes:
        raw = json.encode(write.resource)
        type_name = write.resource["resourceType"]
        assert VALIDATOR.validate(type_name, raw, json.decode(raw)) == []


def test_the_message_itself_is_mapped() -> None:
    message = parse("\r".join([MSH, *SEGMENTS]))
    check(message)
    assert message.mapped


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_field_may_hold_anything(data: st.DataObject) -> None:
    segments = list(SEGMENTS)
    for _ in range(data.draw(st.integers(1, 12))):
        row = data.draw(st.integers(0, len(segments) - 1))
        fields = segments[row].split("|")
        place = data.draw(st.integers(1, len(fields)))
        fields[place : place + 1] = [data.draw(st.sampled_from(WORDS) | st.text(max_size=20))]
        segments[row] = "|".join(fields)
    check(parse("\r".join([MSH, *segments])))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([PID, *SEGMENTS, "ZZZ|1", "OBX", "NTE", "ORC", "PID"])))
def test_segments_may_come_in_any_order(segments: list[str]) -> None:
    check(parse("\r".join([MSH, *segments])))


@settings(max_examples=200, deadline=None)
@given(st.text(), st.text(alphabet='|^~&\\\r"1PIDOBRX'))
def test_any_text_is_refused_or_mapped(start: str, rest: str) -> None:
    for text in (start, f"{MSH}\r{start}{rest}", f"MSH{rest}"):
        try:
            message = parse(text)
        except BadHeader:
            continue
        check(message)


@pytest.mark.parametrize("size", [100_000])
def test_wide_and_long_messages_stay_linear(size: int, tmp_path: Path) -> None:
    wide = "OBX|1|CE|A||" + "~".join(["x^y"] * (size // 10))
    deep = "PID|1||P1||" + "^" * size
    check(parse(f"{MSH}\r{PID}\rOBR|1||F|X\r{wide}"))
    check(parse(f"{MSH}\r{deep}\rOBR|1||F|X"))
