"""Code systems that are a grammar."""

import pytest

from terminology.filters import Filter
from terminology.grammars.forms import is_media_type, is_tag
from terminology.grammars.languages import read_tag
from terminology.grammars.library import Grammars
from terminology.grammars.mime import read_media_type
from terminology.operations import Call, answer

UCUM = "http://unitsofmeasure.org"
LIBRARY = Grammars(lambda: ["mg", "g", "mL", "L", "mmol/L"])


async def asked(type_: str, operation: str, **given: str) -> dict[str, object]:
    parameters = [
        {
            "name": name.replace("_", "-"),
            ("valueUri" if name in {"url", "system"} else "valueCode"): v,
        }
        for name, v in given.items()
    ]
    call = Call(type_, operation, {"resourceType": "Parameters", "parameter": parameters})
    return (await answer(LIBRARY, call)).resource


def value(resource: dict[str, object], name: str) -> object:
    found = [one for one in resource["parameter"] if one["name"] == name]  # type: ignore[attr-defined]
    return next(v for k, v in found[0].items() if k.startswith("value")) if found else None


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("EN-us", "en-US"),
        ("zh-hant-tw", "zh-Hant-TW"),
        ("de-CH-1996", "de-CH-1996"),
        ("x-private", "x-private"),
        ("I-KLINGON", "i-klingon"),
        ("es-419", "es-419"),
        ("en-a-bbb-x-a", "en-a-bbb-x-a"),
        ("e", None),
        ("en-", None),
        ("en_US", None),
        ("english-language-", None),
    ],
)
def test_language_tags_are_read_in_their_usual_case(tag: str, code: str | None) -> None:
    found = read_tag(tag)
    assert (found.code if found else None) == code


@pytest.mark.parametrize(
    ("tag", "is_one"),
    [
        *((tag, True) for tag in ("en", "en-US", "hi-Deva-IN", "de-CH-1901", "sl-rozaj-biske")),
        *((tag, True) for tag in ("zh-cmn-Hans-CN", "es-419", "x-whatever", "i-klingon")),
        *((tag, True) for tag in ("de-a-value", "en-US-u-islamcal", "en-GB-oed", "sgn-BE-FR")),
        *((tag, False) for tag in ("", "e", "en_US", "en-", "english language", "a-DE", "1x")),
        *((tag, False) for tag in ("i-unheard-of", "en\n")),
    ],
)
def test_a_language_tag_has_the_form_of_bcp_47(tag: str, is_one: bool) -> None:  # noqa: FBT001
    assert is_tag(tag) == is_one


@pytest.mark.parametrize(
    ("code", "known"),
    [
        ("text/", False),
        ("text/a b", False),
        ("text/plain; charset", False),
        ("application/fhir+json", True),
        ("text/plain; charset=utf-8", True),
        ("image/*", False),
        ("text", False),
        ("a/b/c", False),
    ],
)
def test_media_types_are_a_type_and_a_subtype(code: str, known: bool) -> None:  # noqa: FBT001
    assert is_media_type(code) is (read_media_type(code) is not None) is known


@pytest.mark.parametrize(("code", "valid"), [("mg/dL", True), ("mg/dl{x}", True), ("mgg", False)])
async def test_units_are_validated_by_grammar(code: str, valid: bool) -> None:  # noqa: FBT001
    found = await asked("ValueSet", "validate-code", url=f"{UCUM}/vs", system=UCUM, code=code)
    assert value(found, "result") is valid


async def test_a_unit_has_no_wrong_display() -> None:
    given = {"url": f"{UCUM}/vs", "system": UCUM, "code": "mm[Hg]", "display": "mmHg"}
    found = await asked("ValueSet", "validate-code", **given)
    assert value(found, "result") is True


async def test_lookup_of_a_unit_says_what_it_is() -> None:
    found = await asked("CodeSystem", "lookup", system=UCUM, code="mg/dL", property="*")
    assert value(found, "definition") == "(milligram) / (deciliter)"
    assert value(found, "version") == "2.2"


async def test_the_filter_canonical_has_units_of_that_dimension() -> None:
    (system,) = await LIBRARY.code_systems(UCUM)
    masses = (Filter("canonical", "=", "kg"),)
    codes = ["mg", "ug", "mL", "[lb_av]", "nonsense"]
    assert await system.test(masses, codes) == {"mg", "ug", "[lb_av]"}


async def test_an_expansion_lists_common_units_and_says_that_there_are_more() -> None:
    found = await asked("ValueSet", "expand", url=f"{UCUM}/vs")
    expansion = found["expansion"]
    assert isinstance(expansion, dict)
    assert [one["code"] for one in expansion["contains"]] == ["mg", "g", "mL", "L", "mmol/L"]
    urls = [one["url"].rpartition("/")[2] for one in expansion["extension"]]
    assert "valueset-unclosed" in urls


async def test_a_unit_typed_whole_is_found_though_it_is_not_common() -> None:
    found = await asked("ValueSet", "expand", url=f"{UCUM}/vs", filter="ng/mL")
    expansion = found["expansion"]
    assert isinstance(expansion, dict)
    assert [one["code"] for one in expansion["contains"]] == ["ng/mL"]


async def test_a_value_set_that_lists_units_is_closed() -> None:
    value_set = {
        "resourceType": "ValueSet",
        "status": "active",
        "compose": {"include": [{"system": UCUM, "concept": [{"code": "mg"}, {"code": "mgg"}]}]},
    }
    parameters = [{"name": "valueSet", "resource": value_set}]
    call = Call("ValueSet", "expand", {"resourceType": "Parameters", "parameter": parameters})
    expansion = (await answer(LIBRARY, call)).resource["expansion"]
    assert [one["code"] for one in expansion["contains"]] == ["mg"]
    assert "extension" not in expansion


async def test_the_systems_are_listed() -> None:
    assert await LIBRARY.systems() == {
        UCUM: ("2.2",),
        "urn:ietf:bcp:47": (),
        "urn:ietf:bcp:13": (),
        "urn:ietf:rfc:3986": (),
    }
