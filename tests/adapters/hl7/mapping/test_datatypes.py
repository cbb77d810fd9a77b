from datetime import UTC, tzinfo
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.hl7.mapping.context import Json
from adapters.hl7.mapping.datatypes import cwe, dtm, ed, hd, nm
from adapters.hl7.mapping.datatypes.xad import xad
from adapters.hl7.mapping.datatypes.xpn import xpn
from adapters.hl7.mapping.datatypes.xtn import xtn
from tests.adapters.hl7.reading import CODES, EXT, IDS, THO, repetition

INDIA = ZoneInfo("Asia/Kolkata")
BERLIN = ZoneInfo("Europe/Berlin")

MOMENTS = [
    ("2026", "", "2026", False),
    ("202601", "", "2026-01", False),
    ("20260102", "+05:30", "2026-01-02", False),
    ("20260002", "", "2026", False),
    ("20260100", "", "2026-01", False),
    ("2026010203", "+05:30", "2026-01-02T03:00:00+05:30", True),
    ("202601020304", "+05:30", "2026-01-02T03:04:00+05:30", True),
    ("20260102030405", "+05:30", "2026-01-02T03:04:05+05:30", False),
    ("20260102030405.1234", "+05:30", "2026-01-02T03:04:05.1234+05:30", False),
    ("20260102030405-0800", "+05:30", "2026-01-02T03:04:05-08:00", False),
    ("20260102030405+00", "", "2026-01-02T03:04:05+00:00", False),
    ("20260102030405", "", "2026-01-02T03:04:05+00:00", False),
    ("20261231235960", "", "2026-12-31T23:59:60+00:00", False),
]


@pytest.mark.parametrize(("text", "offset", "expected", "filled"), MOMENTS)
def test_dtm_keeps_its_precision_and_offset(
    text: str,
    offset: str,
    expected: str,
    filled: bool,  # noqa: FBT001  (a column of the table)
) -> None:
    assert dtm.moment(text, offset, UTC) == dtm.Moment(expected, filled)


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("20260102030405", INDIA, "2026-01-02T03:04:05+05:30"),
        ("20260102030405", BERLIN, "2026-01-02T03:04:05+01:00"),
        ("20260702030405", BERLIN, "2026-07-02T03:04:05+02:00"),
    ],
)
def test_dtm_without_offset_takes_the_zone_of_its_day(
    text: str, zone: tzinfo, expected: str
) -> None:
    assert dtm.moment(text, "", zone) == dtm.Moment(expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "26",
        "2026-01-02",
        "20261301",
        "20260230",
        "20260102250000",
        "0000",
        "00000101",
        "20260102030405+9900",
        "yesterday",
        "202601020304051",
        "2026130",
    ],
)
def test_invalid_dtm_has_no_value(text: str) -> None:
    # With an offset that cannot be nobody knows which hour was meant.
    assert dtm.moment(text, "+05:30", UTC) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0304", "03:04:00"),
        ("03", "03:00:00"),
        ("030405.5", "03:04:05.5"),
        ("030405+0530", "03:04:05"),
        ("2504", ""),
        ("x", ""),
    ],
)
def test_time_of_day(text: str, expected: str) -> None:
    assert dtm.time(text) == expected


@pytest.mark.parametrize(
    ("text", "value", "comparator"),
    [
        ("1.40", "1.40", ""),
        ("+1.5", "1.5", ""),
        (".5", "0.5", ""),
        ("5.", "5", ""),
        ("007", "7", ""),
        ("-0.10", "-0.10", ""),
        ("<5", "5", "<"),
        (">= 12.0", "12.0", ">="),
        ("<=0.01", "0.01", "<="),
        (">400", "400", ">"),
    ],
)
def test_nm_keeps_its_digits(text: str, value: str, comparator: str) -> None:
    found = nm.number(text)
    assert found is not None
    assert (str(found.value), found.comparator) == (value, comparator)


@pytest.mark.parametrize(
    "text", ["", "NEG", "1,5", "1 2", "1e5", "++1", ".", "-", "1.2.3", "\u0661"]
)
def test_what_is_no_number_is_none(text: str) -> None:
    assert nm.number(text) is None


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3))
def test_every_decimal_is_read_as_written(value: Decimal) -> None:
    found = nm.number(f"{value:f}")
    assert found is not None
    assert f"{found.value:f}" == f"{value:f}"


UNIT: Json = {"unit": "mg/dL"}


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("", "100", "", ""), ("valueQuantity", {"value": Decimal(100), **UNIT})),
        (("=", "100", "", ""), ("valueQuantity", {"value": Decimal(100), **UNIT})),
        (
            (">", "100", "", ""),
            ("valueQuantity", {"value": Decimal(100), "comparator": ">", **UNIT}),
        ),
        (
            ("", "1", ":", "128"),
            (
                "valueRatio",
                {
                    "numerator": {"value": Decimal(1), **UNIT},
                    "denominator": {"value": Decimal(128), **UNIT},
                },
            ),
        ),
        (
            ("", "4", "-", "10"),
            (
                "valueRange",
                {"low": {"value": Decimal(4), **UNIT}, "high": {"value": Decimal(10), **UNIT}},
            ),
        ),
        (("<>", "5", "", ""), None),
        (("", "2", "+", ""), None),
        (("", "10", "-", "4"), None),
        (("", "x", "", ""), None),
        (("", "", "", ""), None),
    ],
)
def test_sn(parts: tuple[str, str, str, str], expected: tuple[str, Json] | None) -> None:
    assert nm.structured(parts, UNIT) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3.5-5.1", {"low": {"value": Decimal("3.5")}, "high": {"value": Decimal("5.1")}}),
        ("70 - 99", {"low": {"value": Decimal(70)}, "high": {"value": Decimal(99)}}),
        ("<5", {"high": {"value": Decimal(5)}}),
        (">60", {"low": {"value": Decimal(60)}}),
        ("3.9 to 5.6", {"low": {"value": Decimal("3.9")}, "high": {"value": Decimal("5.6")}}),
        ("-2-+2", {"low": {"value": Decimal(-2)}, "high": {"value": Decimal(2)}}),
        ("-5 - -1", {"low": {"value": Decimal(-5)}, "high": {"value": Decimal(-1)}}),
        (
            "4.0 \N{EN DASH} 11.0",
            {"low": {"value": Decimal("4.0")}, "high": {"value": Decimal("11.0")}},
        ),
        ("Up to 40", {"high": {"value": Decimal(40)}}),
        ("\N{LESS-THAN OR EQUAL TO}5", {"high": {"value": Decimal(5)}}),
        ("9-3", {}),
        ("10-12-2020", {}),
        ("3-5 mmol/L", {}),
        ("negative", {}),
    ],
)
def test_reference_range_is_text_and_what_can_be_read(text: str, expected: Json) -> None:
    assert nm.reference_range(text, {}) == {**expected, "text": text}


def test_reference_range_may_repeat_its_unit_and_no_other() -> None:
    assert nm.reference_range("3-5 mmol/L", UNIT | {"unit": "mmol/L"})["high"]["value"] == 5
    assert nm.reference_range("3-5 mg/dL", {"unit": "mmol/L"}) == {"text": "3-5 mg/dL"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "2345-7^Glucose^LN",
            {"coding": [{"system": "http://loinc.org", "code": "2345-7", "display": "Glucose"}]},
        ),
        (
            "^^^WBC^WHITE CELLS",
            {"coding": [{"system": f"{CODES}/ZZZ-1", "code": "WBC", "display": "WHITE CELLS"}]},
        ),
        (
            "2345-7^Glucose^LN^GLU^Gluc^L^2.74^1^as said",
            {
                "coding": [
                    {
                        "system": "http://loinc.org",
                        "version": "2.74",
                        "code": "2345-7",
                        "display": "Glucose",
                    },
                    {
                        "system": f"{CODES}/ZZZ-1",
                        "version": "1",
                        "code": "GLU",
                        "display": "Gluc",
                    },
                ],
                "text": "as said",
            },
        ),
        ("^only text", {"text": "only text"}),
        ("X^y^99LAB", {"coding": [{"system": f"{CODES}/99LAB", "code": "X", "display": "y"}]}),
        ("A^^HL70078", {"coding": [{"system": f"{THO}/v2-0078", "code": "A"}]}),
        (
            "Q^^2.16.840.1.113883.6.96",
            {"coding": [{"system": "http://snomed.info/sct", "code": "Q"}]},
        ),
        ("a  b", {"coding": [{"system": f"{CODES}/ZZZ-1", "code": "a b"}]}),
        ("^^LN", None),
    ],
)
def test_cwe(text: str, expected: Json | None) -> None:
    ctx, rep = repetition(text)
    assert cwe.concept(ctx, rep, "X.code") == expected


def test_code_of_the_fields_table_needs_no_system() -> None:
    ctx, rep = repetition("BLD")
    assert cwe.concept(ctx, rep, "X", table="0487") == {
        "coding": [{"system": f"{THO}/v2-0487", "code": "BLD"}]
    }


def test_translated_coding_comes_first_and_the_original_stays() -> None:
    ctx, rep = repetition("BIO^Biopsy^HL70488")
    translate = {"BIO": ("http://snomed.info/sct", "129314006")}
    assert cwe.concept(ctx, rep, "X", table="0488", translate=translate) == {
        "coding": [
            {"system": "http://snomed.info/sct", "code": "129314006"},
            {"system": f"{THO}/v2-0488", "code": "BIO", "display": "Biopsy"},
        ]
    }


@pytest.mark.parametrize(
    ("text", "system"),
    [
        ("1^^^HOSP", f"{IDS}/HOSP"),
        ("1^^^HOSP&1.2.3&ISO", "urn:oid:1.2.3"),
        ("1^^^&1.2.3&ISO", "urn:oid:1.2.3"),
        ("1^^^&2.16.840.1.113883.4.6&ISO", "http://hl7.org/fhir/sid/us-npi"),
        ("1^^^H&h.example.org&DNS", "urn:dns:h.example.org"),
        ("1^^^H&http://h.example.org/mrn&URI", "http://h.example.org/mrn"),
        (
            "1^^^H&2A3E6F24-36F7-4A22-8A12-7E0A7C0C9B11&UUID",
            "urn:uuid:2a3e6f24-36f7-4a22-8a12-7e0a7c0c9b11",
        ),
        ("1^^^H&not an oid&ISO", f"{IDS}/H"),
        ("1^^^Agreed", "http://agreed.example.org"),
        ("1", f"{IDS}/patient"),
    ],
)
def test_cx_system_is_that_of_its_authority(text: str, system: str) -> None:
    ctx, rep = repetition(text, authorities={"Agreed": "http://agreed.example.org"})
    assert hd.cx(ctx, rep, "X", "patient") == {"system": system, "value": "1"}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("MR", {"coding": [{"system": f"{THO}/v2-0203", "code": "MR"}]}),
        ("NNIND", {"coding": [{"system": f"{THO}/v2-0203", "code": "NNxxx"}], "text": "NNIND"}),
        ("UHID", {"coding": [{"system": f"{CODES}/0203", "code": "UHID"}], "text": "UHID"}),
    ],
)
def test_identifier_type(code: str, expected: Json) -> None:
    ctx, rep = repetition(f"1^^^H^{code}")
    found = hd.cx(ctx, rep, "X", "patient")
    assert found is not None
    assert found["type"] == expected


def test_token_is_escaped() -> None:
    assert hd.token({"system": "s", "value": "a|b,c$d\\"}) == r"s|a\|b\,c\$d\\"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Rao^Asha^K^Jr^Dr^MBBS^L",
            [
                {
                    "family": "Rao",
                    "given": ["Asha", "K"],
                    "prefix": ["Dr"],
                    "suffix": ["Jr", "MBBS"],
                    "use": "official",
                }
            ],
        ),
        ("Rao^Asha^^^^^NOUSE", [{"family": "Rao", "given": ["Asha"], "use": "old"}]),
        (
            "Rao^^^^^^K",
            [
                {
                    "family": "Rao",
                    "_use": {
                        "extension": [
                            {
                                "url": f"{EXT}/alternate-codes",
                                "valueCodeableConcept": {
                                    "coding": [{"system": f"{THO}/v2-0200", "code": "K"}]
                                },
                            }
                        ]
                    },
                }
            ],
        ),
        (
            "Rao&van^A",
            [
                {
                    "family": "Rao",
                    "_family": {
                        "extension": [{"url": f"{EXT}/humanname-own-prefix", "valueString": "van"}]
                    },
                    "given": ["A"],
                }
            ],
        ),
        ("^^^^^^L", []),
        (
            "Rao^^^^^^^^^^^20200101^20210101^^Ashu",
            [
                {"family": "Rao", "period": {"start": "2020-01-01", "end": "2021-01-01"}},
                {"use": "nickname", "given": ["Ashu"]},
            ],
        ),
    ],
)
def test_xpn(text: str, expected: list[Json]) -> None:
    ctx, rep = repetition(text)
    assert xpn(ctx, rep, "Patient.name") == expected


def test_xad() -> None:
    ctx, rep = repetition("1 Road&Long^Flat 2^Pune^MH^411001^IN^H^^Haveli")
    original = {"coding": [{"system": f"{THO}/v2-0190", "code": "H"}]}
    assert xad(ctx, rep, "Patient.address") == {
        "line": ["1 Road", "Long", "Flat 2"],
        "city": "Pune",
        "district": "Haveli",
        "state": "MH",
        "postalCode": "411001",
        "country": "IN",
        "use": "home",
        "extension": [{"url": f"{EXT}/alternate-codes", "valueCodeableConcept": original}],
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "^PRN^PH^^91^20^5551234^12",
            {
                "extension": [
                    {"url": f"{EXT}/contactpoint-country", "valueString": "91"},
                    {"url": f"{EXT}/contactpoint-area", "valueString": "20"},
                    {"url": f"{EXT}/contactpoint-local", "valueString": "5551234"},
                    {"url": f"{EXT}/contactpoint-extension", "valueString": "12"},
                ],
                "system": "phone",
                "value": "+91 20 5551234 X12",
                "use": "home",
            },
        ),
        ("(020)555", {"system": "phone", "value": "(020)555"}),
        ("^NET^Internet^a@example.org", {"system": "email", "value": "a@example.org"}),
        ("^^^a@example.org", {"system": "email", "value": "a@example.org"}),
        ("^BPN^BP^^^^^^^^^77", {"system": "pager", "value": "77"}),
        ("^^CP^^^^^^^^^77", {"system": "phone", "value": "77", "use": "mobile"}),
        ("^WPN^FX^^^^^^^^^77", {"system": "fax", "value": "77", "use": "work"}),
        ("^PRN", None),
    ],
)
def test_xtn(text: str, expected: Json | None) -> None:
    ctx, rep = repetition(text)
    assert xtn(ctx, rep, "Patient.telecom") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("^TEXT^PDF^Base64^JVBERi0xLjQK", ("application/pdf", b"%PDF-1.4\n")),
        ("^IM^TIFF^Base64^JVBERi0x\\.br\\LjQK", ("application/pdf", b"%PDF-1.4\n")),
        ("^TX^^A^plain \\T\\ simple", ("text/plain", b"plain & simple")),
        ("^IM^JPEG^Hex^ffd8ffe0", ("image/jpeg", b"\xff\xd8\xff\xe0")),
        ("^AP^Odd^Base64^AAEC", ("application/octet-stream", b"\x00\x01\x02")),
    ],
)
def test_ed_is_byte_identical_and_its_label_corrected(
    text: str, expected: tuple[str, bytes]
) -> None:
    _, rep = repetition(text)
    assert ed.ed(rep, "X") == ed.attachment(expected[1], expected[0])


@pytest.mark.parametrize("text", ["^IM^JPEG^Base64^%%%", "^IM^JPEG^Hex^xyz", "^IM^JPEG^Base64"])
def test_ed_that_cannot_be_read_is_none(text: str) -> None:
    _, rep = repetition(text)
    assert ed.ed(rep, "X") is None
