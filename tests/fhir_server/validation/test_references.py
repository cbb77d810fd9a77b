import pytest

from fhir_server.r4.definitions import load
from fhir_server.validation.references import target_type

TYPES = frozenset(load().resource_types)


@pytest.mark.parametrize(
    ("text", "type_name"),
    [
        ("Patient/1", "Patient"),
        ("Patient/a-b.C/_history/2", "Patient"),
        ("Patient/1#part", "Patient"),
        ("Patient?identifier=s|1", "Patient"),
        ("Nope/1", "Nope"),
        ("Nope?x=1", "Nope"),
        ("#", ""),
        ("#a", ""),
        ("urn:uuid:3fdc72f4-a11d-4a9d-9260-a9f745779e1d", ""),
        ("urn:oid:1.2.3", ""),
        ("https://x.test/fhir/Patient/1", "Patient"),
        ("https://x.test/fhir/Patient/1/_history/2", "Patient"),
        ("https://x.test/Patient", ""),
        ("https://x.test/a/b", ""),
        ("ftp://x.test/Patient/1", ""),
        ("https://x.test /Patient/1", None),
        ("https://x.test/Patient/1\n", None),
        ("urn:", None),
        ("Patient", None),
        ("Patient/", None),
        ("/Patient/1", None),
        ("Patient/1/", None),
        ("Patient/1/2", None),
        ("Patient/a_b", None),
        ("Patient/" + "a" * 65, None),
        ("Patient/1/_history", None),
        ("Patient/1/_history/", None),
        ("Patient/1/_history/2/3", None),
        ("x", None),
    ],
)
def test_a_reference_tells_its_type_or_has_no_form(text: str, type_name: str | None) -> None:
    assert target_type(TYPES, text) == type_name
