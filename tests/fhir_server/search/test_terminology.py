"""Which parameters take the modifiers that ask what codes mean, and how they are written."""

import pytest

from fhir_server.errors import BadRequest, NotSupported
from fhir_server.search.condition import Coded
from fhir_server.search.terminology import MODIFIERS, coded

from .matching import query


@pytest.mark.parametrize("name", ["code", "status", "combo-code", "component-value-concept"])
@pytest.mark.parametrize("modifier", sorted(MODIFIERS))
def test_a_parameter_of_codes_takes_them(name: str, modifier: str) -> None:
    found = coded(query("Observation", f"{name}:{modifier}=urn:x|1"))
    assert {(one.modifier, one.values) for one in found} == {
        (modifier.removeprefix("not-"), ("urn:x|1",))
    }


@pytest.mark.parametrize("name", ["identifier", "_id"])
@pytest.mark.parametrize("modifier", sorted(MODIFIERS))
def test_a_parameter_without_codes_refuses_them_by_name(name: str, modifier: str) -> None:
    with pytest.raises(NotSupported) as refused:
        query("Observation", f"{name}:{modifier}=urn:x|1")
    assert refused.value.issues[0].expression == f"{name}:{modifier}"


@pytest.mark.parametrize("modifier", ["above", "below"])
@pytest.mark.parametrize("value", ["1", "|1", "urn:x|", "urn:x|1|2"])
def test_a_place_in_a_hierarchy_needs_system_and_code(modifier: str, value: str) -> None:
    with pytest.raises(BadRequest, match=r"system\|code"):
        query("Observation", f"code:{modifier}={value}")


def test_a_code_of_a_required_binding_has_the_systems_of_the_binding() -> None:
    (found,) = coded(query("Encounter", "status:in=urn:vs"))
    assert isinstance(found, Coded)
    assert "planned" in dict(found.implied)["http://hl7.org/fhir/encounter-status"]
