"""What a server without terminology answers."""

import pytest

from fhir_server.errors import NotSupported
from fhir_server.search.clause import Clause
from fhir_server.search.terminology import MODIFIERS, NO_TERMINOLOGY

from .matching import REGISTRY


@pytest.mark.parametrize("modifier", sorted(MODIFIERS))
def test_without_terminology_the_modifier_is_refused_by_name(modifier: str) -> None:
    parameter = REGISTRY.parameters("Patient")["gender"]
    clause = Clause(f"gender:{modifier}", parameter, modifier, ("http://x.org/vs",))
    with pytest.raises(NotSupported, match=f"The modifier {modifier} needs terminology") as refused:
        NO_TERMINOLOGY.condition(clause, lambda _system, _code: ())
    assert refused.value.issues[0].expression == f"gender:{modifier}"
