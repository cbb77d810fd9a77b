from dataclasses import replace

import pytest

from fhir_server.r4.definitions import load
from fhir_server.search import registry
from fhir_server.search.parameter import parameter_id
from fhir_server.search.registry import Registry

from .matching import REGISTRY


def test_each_type_has_the_parameters_of_all_resources() -> None:
    common = {"_id", "_lastUpdated", "_profile", "_security", "_source", "_tag"}
    for type_name in REGISTRY.definitions.resource_types:
        assert common <= set(REGISTRY.parameters(type_name))


def test_ids_are_stable_and_fit_an_int4() -> None:
    assert REGISTRY.parameters("Observation")["date"].id == 2125127920
    for type_name in REGISTRY.definitions.resource_types:
        for code, parameter in REGISTRY.parameters(type_name).items():
            assert parameter.id == parameter_id(type_name, code)
            assert 0 < parameter.id < 1 << 31


def test_ids_that_collide_are_found_when_the_registry_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "parameter_id", lambda _base, _code: 1)
    not_built_before = replace(load())
    with pytest.raises(ValueError, match="the id is taken"):
        Registry.build(not_built_before)


@pytest.mark.parametrize(
    ("type_name", "code", "indexed"),
    [
        ("Observation", "code", ["code"]),
        ("Observation", "combo-code", ["code", "component-code"]),
        ("Observation", "combo-value-quantity", ["component-value-quantity", "value-quantity"]),
        (
            "Observation",
            "combo-code-value-quantity",
            ["code-value-quantity", "component-code-value-quantity"],
        ),
        ("Patient", "phonetic", ["name"]),
        ("Patient", "phone", ["phone"]),
        ("Observation", "patient", ["patient"]),
    ],
)
def test_a_union_of_other_parameters_has_no_rows_of_its_own(
    type_name: str, code: str, indexed: list[str]
) -> None:
    assert [p.code for p in REGISTRY.plan(type_name).indexed[code]] == indexed


def test_targets_are_those_that_the_expression_resolves_to() -> None:
    parameters = REGISTRY.parameters("Observation")
    assert parameters["patient"].target == ("Patient",)
    assert set(parameters["subject"].target) == {"Device", "Group", "Location", "Patient"}


def test_every_plan_compiles_and_every_parameter_indexes_some_element_type() -> None:
    silent = []
    for type_name in REGISTRY.definitions.resource_types:
        plan = REGISTRY.plan(type_name)
        silent += [
            f"{type_name}.{code}"
            for code, facts in plan.facts.items()
            if not facts.types and not any(facts.parts)
        ]
    assert silent == []
