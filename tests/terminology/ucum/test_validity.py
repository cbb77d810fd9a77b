"""Which texts are units, and what they are in other units."""

import csv
import importlib.util
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminology.ucum.essence import essence
from terminology.ucum.unit import canonical, convert, unit

NAMESPACE = "{http://unitsofmeasure.org/ucum-essence}"


@pytest.mark.parametrize(
    "code",
    [
        *("foo", "mgg", "mm[hg]", "KG", "mmHg", "bpm", "mEq/L", "IU/mL", "cc", "mcg", "°C", "μg"),
        *("mL/min/1.73m2", "m/", "m//s", "m..s", "m0", "m+", "00", "{", "{a", "a}", "{a b}"),
        *("(m", "m)", "()", "k[in_i]", " m", "m ", "/", ".", "m{a}{b}", "dad"),
    ],
)
def test_local_spellings_and_faults_are_no_units(code: str) -> None:
    assert unit(code) is None


@pytest.mark.parametrize(
    "code",
    [
        *("K/uL", "10*3/uL", "10^3/uL", "[pH]", "{score}", "/min", "1", "%", "a", "mo", "[IU]/L"),
        *("m[H2O]", "B[10.nV]", "mL/min/{1.73_m2}", "100/{cells}", "g/(8.h){shift}", "dar"),
        *("10*-6", "kg.m/s2", "{CAG_repeats}", "(/m){ann}", "m{}", "[in_i'H2O]"),
    ],
)
def test_units_of_the_grammar_are_units(code: str) -> None:
    assert unit(code) is not None


def test_the_official_examples_are_units_but_one() -> None:
    """`Torr` is not of the essence."""
    spec = importlib.util.find_spec("ucumvert")
    assert spec is not None
    assert spec.origin is not None
    listed = Path(spec.origin).parent / "vendor" / "ucum_examples.tsv"
    with listed.open(encoding="utf-8") as file:
        codes = [row["UCUM_CODE"] for row in csv.DictReader(file, delimiter="\t")]
    assert len(codes) > 800
    assert [code for code in codes if unit(code) is None] == ["Torr"]


def test_every_atom_of_the_public_essence_is_a_unit(shared: Path) -> None:
    root = ET.parse(shared / "data/fhir-test-cases/ucum/ucum-essence.xml").getroot()
    codes = [
        one.attrib["Code"] for kind in ("base-unit", "unit") for one in root.iter(NAMESPACE + kind)
    ]
    assert len(codes) > 300
    assert [code for code in codes if unit(code) is None] == []


def test_every_metric_atom_takes_every_prefix_and_no_other_does() -> None:
    known = essence()
    for prefix in known.prefixes:
        for code, atom in known.atoms.items():
            taken = prefix + code in known.atoms or atom.metric or _otherwise(prefix + code)
            assert (unit(prefix + code) is not None) == taken, prefix + code


def _otherwise(code: str) -> bool:
    """Whether the text is another atom with another prefix, as `dar` is."""
    known = essence()
    return any(
        code.startswith(prefix)
        and code[len(prefix) :] in known.atoms
        and known.atoms[code[len(prefix) :]].metric
        for prefix in known.prefixes
    )


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        ("5", "mmol/L", "mol/m3", "5"),
        ("98.6", "[degF]", "Cel", "37"),
        ("37", "Cel", "[degF]", "98.6"),
        ("1", "meq/L", "mmol/L", "1"),
        ("180", "[lb_av]", "kg", "81.6466266"),
        ("1", "a", "d", "365.25"),
        ("1", "mo", "d", "30.4375"),
        ("6", "[ft_i]", "cm", "182.88"),
        ("1.40", "mg", "mg", "1.40"),
        ("7.4", "[pH]", "[pH]", "7.4"),
        ("1", "/min", "Hz", "0.0166666666667"),
    ],
)
def test_values_are_converted_exactly_to_12_digits(
    value: str, source: str, target: str, expected: str
) -> None:
    converted = convert(Decimal(value), source, target)
    assert converted is not None
    assert converted == Decimal(expected)
    assert (source != target) or str(converted) == expected


@pytest.mark.parametrize(
    ("source", "target"),
    [("[IU]", "U"), ("mol/L", "/L"), ("[pH]", "1"), ("mg", "mL"), ("foo", "mg"), ("mg", "foo")],
)
def test_what_is_not_commensurable_is_not_converted(source: str, target: str) -> None:
    assert convert(Decimal(1), source, target) is None


def test_a_value_beyond_reason_is_not_converted() -> None:
    assert convert(Decimal("1e999999"), "g", "kg") is None
    assert convert(Decimal("NaN"), "g", "kg") is None


@pytest.mark.parametrize(
    ("code", "expected"), [("mg/dL", "g.m-3"), ("mmol/L", "m-3.mol"), ("%", "1"), ("{a}", "1")]
)
def test_the_canonical_unit_is_a_unit_of_the_same_dimension(code: str, expected: str) -> None:
    base = canonical(code)
    assert base is not None
    assert base[0] == expected
    assert convert(Decimal(1), code, base[0]) is not None


@given(st.text("abcdgkmLlsu[]{}()./0123*^-+'_", max_size=30))
def test_any_text_is_a_unit_or_none(text: str) -> None:
    found = unit(text)
    assert found is None or unit(f"({text})") is not None or len(text) > 98
