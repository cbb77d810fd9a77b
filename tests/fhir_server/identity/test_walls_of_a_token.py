"""What the walls of a token's holder ask for."""

import pytest

from fhir_server.access.role_table import shipped
from fhir_server.access.roles import Person
from fhir_server.identity.caller_of import Known, of_token
from fhir_server.identity.claims import Claims
from fhir_server.rights import Consented
from fhir_server.security_settings import SecuritySettings

SETTINGS = SecuritySettings(consent={"disclosed_to": ["insurer"]})
DOCTOR = Known(("DOCTOR",), Person("Practitioner/1", ("Practitioner/1",)))


def actions(client: str, known: Known | None) -> set[str]:
    scope = "system/*.rs" if known is None else "user/*.rs"
    user = known.person.user if known else None
    claims = Claims("i", "s", client, scope, "t", 0.0, user)
    rights = of_token(SETTINGS, shipped(), claims, known)
    grants = (grant for wall in rights.walls for grant in wall if "r" in grant.letters)
    return {one.action for grant in grants for one in grant.limits if isinstance(one, Consented)}


@pytest.mark.parametrize("known", [None, DOCTOR], ids=["service", "person"])
def test_to_an_app_of_another_organisation_it_must_be_permitted_to_disclose(
    known: Known | None,
) -> None:
    assert actions("insurer", known) == {"access", "disclose"}
    assert actions("ward", known) == {"access"}
