"""What a site may define: the language of its expressions, and its caps."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fhir_server.r4 import json
from fhir_server.search import custom
from fhir_server.search.expression import alone
from fhir_server.search.extract import written
from fhir_server.search.parameter import Parameter
from fhir_server.search.path import ExpressionError, parse
from fhir_server.search.registry import Custom

from .matching import REGISTRY

EXAMPLES = "data/r4/hl7.fhir.r4.examples-4.0.1.tgz"


def parameter(kind: str, expression: str, base: str = "Patient") -> Parameter:
    return Parameter(
        1, base, "mine", kind, "urn:mine", expression, REGISTRY.definitions.resource_types
    )


def rows(one: Parameter, resource: dict[str, Any]) -> int:
    write, _ = alone(REGISTRY.definitions, one)
    return written(REGISTRY.context, write, resource).count


def test_composites_have_the_component_types_of_official_ones() -> None:
    official = {
        tuple(part.type for part in one.component)
        for row in REGISTRY.by_type.values()
        for one in row.values()
        if one.component
    }
    assert official == custom.COMPOSITES


def test_every_official_expression_can_be_defined_at_run_time() -> None:
    for row in REGISTRY.by_type.values():
        for one in row.values():
            alone(REGISTRY.definitions, one)


LENGTHS = [
    ("a" * 10_001, "longer than 10000 characters"),
    ("a | " * 1_000 + "a", "more than 1000 parts"),
    ("(" * 51 + "a" + ")" * 51, "more than 50 brackets deep"),
    ("a[99999999]", "expected the number of an element"),
    ("a[b]", "expected the number of an element"),
    ("extension('a", "expected a string without escapes"),
    ("extension('a\\'b')", "expected a string without escapes"),
    ("a.b c", "expected 'the end' as part 4"),
    ("", "expected the name of an element"),
    ("a.lower()", "the function lower is not offered"),
]


@pytest.mark.parametrize(("expression", "reason"), LENGTHS, ids=[r for _, r in LENGTHS])
def test_an_expression_beyond_the_language_is_refused(expression: str, reason: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        parse(expression)
    assert str(refused.value) == reason


STRICT = [
    ("token", "Patient.nothing", "Patient has no element nothing"),
    ("token", "Group.type", "no path starts at Patient"),
    ("string", "Patient.name.given[0]", "the number of an element that is not one list"),
    ("string", "Patient.name.where(use='x')[0].family", "the number of an element stands behind"),
    ("token", "Patient.gender.where(x='y')", "a filter asks for what its element does not have"),
    ("token", "Patient.telecom.where(nothing='y')", "a filter asks for what its element"),
    ("token", "Patient.name.where(given='y').use", "a filter asks for what its element"),
    ("token", "Patient.gender.where(hasExtension('x'))", "a filter asks for what"),
    ("reference", "Patient.link.where(resolve() is Patient)", "a filter asks for what"),
    ("date", "Patient.gender", "a path leads to no value that a date parameter"),
    ("token", "Patient.extension('a')" + ".extension('a')" * 20, "more than 20 steps"),
]


@pytest.mark.parametrize(
    ("kind", "expression", "reason"),
    STRICT,
    ids=[f"{kind} {text[:60]}" for kind, text, _ in STRICT],
)
def test_a_path_without_meaning_is_refused(kind: str, expression: str, reason: str) -> None:
    with pytest.raises(ExpressionError, match=reason.replace("(", r"\(")):
        alone(REGISTRY.definitions, parameter(kind, expression))


def test_choices_in_choices_are_capped() -> None:
    expression = "Patient.extension('a')" + ".value.extension('a')" * 4 + ".value"
    with pytest.raises(ExpressionError, match="too many choices in one another"):
        alone(REGISTRY.definitions, parameter("token", expression))


PRIMITIVE = [
    ({"_birthDate": {"extension": [{"url": "urn:t", "valueDateTime": "2020-01-01"}]}}, True),
    ({"_birthDate": {"extension": [{"url": "urn:u", "valueDateTime": "2020-01-01"}]}}, False),
    ({"birthDate": "2020-01-01"}, False),
]


@pytest.mark.parametrize(("more", "indexed"), PRIMITIVE)
def test_the_extension_of_a_primitive_stands_beside_it(
    more: dict[str, Any], *, indexed: bool
) -> None:
    one = parameter("date", "Patient.birthDate.extension('urn:t').value")
    assert (rows(one, {"resourceType": "Patient", **more}) > 0) == indexed


PLAIN_TYPES = sorted(custom.TYPES - {"composite"})
EVERYWHERE = [
    ("token", "Resource.meta.tag"),
    ("token", "DomainResource.contained.id"),
    ("uri", "DomainResource.extension.url"),
    *((kind, "DomainResource.extension.value") for kind in PLAIN_TYPES),
    *((kind, "DomainResource.extension('a').extension.value") for kind in PLAIN_TYPES),
]


@pytest.mark.xdist_group("examples")
@pytest.mark.parametrize(("kind", "expression"), EVERYWHERE)
def test_no_value_of_an_official_example_makes_the_indexing_fail(
    examples: list[dict[str, Any]], kind: str, expression: str
) -> None:
    narrated = [one for one in examples if one["resourceType"] not in _PLAIN]
    assert len(narrated) > 4000
    for resource in narrated:
        rows(parameter(kind, expression, resource["resourceType"]), resource)


_PLAIN = frozenset(("Bundle", "Binary", "Parameters"))


@pytest.fixture(scope="module")
def examples(shared: Path) -> list[dict[str, Any]]:
    """The official examples, and their extensions wherever these stand, at the root."""
    found = []
    with tarfile.open(shared / EXAMPLES) as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is not None and member.name.endswith(".json"):
                data = json.decode(content.read())
                if data.get("resourceType") in REGISTRY.context.type_ids:
                    found.append({**data, "extension": list(extensions(data))})
    return found


def extensions(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in ("extension", "modifierExtension"):
                yield from inner
            yield from extensions(inner)
    if isinstance(value, list):
        for inner in value:
            yield from extensions(inner)


def test_a_parameter_on_resource_is_one_of_each_type() -> None:
    data = {
        "status": "active",
        "code": "any",
        "type": "token",
        "url": "urn:any",
        "base": ["Resource"],
        "expression": "Resource.meta.tag",
    }
    found = custom.parameters(REGISTRY, data)
    assert tuple(one.base for one in found) == REGISTRY.definitions.resource_types


def test_the_official_definition_itself_is_already_there() -> None:
    for one in REGISTRY.definitions.search_parameters:
        if one.code != "gender" or not one.expression:
            continue
        data = {
            "status": "active",
            "code": one.code,
            "type": one.type,
            "url": one.url,
            "base": list(one.base),
            "expression": one.expression,
        }
        assert custom.parameters(REGISTRY, data) == ()


def test_a_registry_searches_what_is_complete_and_writes_the_rest() -> None:
    one = parameter("token", "Patient.gender")
    states = {
        "complete": Custom(one, searchable=True, awaited=False),
        "awaited": Custom(one, searchable=False, awaited=True),
        "leaving": Custom(one, searchable=False, awaited=False),
    }
    for name, state in states.items():
        registry = REGISTRY.having([state], 3)
        assert ("mine" in registry.parameters("Patient")) == (name == "complete")
        assert registry.awaited("Patient") == ({"mine"} if name == "awaited" else set())
        assert registry.plan("Group") is REGISTRY.plan("Group")
        rows_of = written(registry.context, registry.plan("Patient").write, {"gender": "male"})
        plain = written(REGISTRY.context, REGISTRY.plan("Patient").write, {"gender": "male"})
        assert set(plain.terms) < set(rows_of.terms)
        assert registry.version == 3


def test_msgspec_keeps_a_definition() -> None:
    one = parameter("token", "Patient.gender")
    kept = msgspec.convert(msgspec.json.decode(msgspec.json.encode(one)), Parameter)
    assert kept == one
