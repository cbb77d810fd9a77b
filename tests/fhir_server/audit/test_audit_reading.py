"""Who may read AuditEvents."""

import pytest

from fhir_server.access.audit_reading import reserved
from fhir_server.rights import Grant, Matching

LIMIT = (Matching((("status", "final"),)),)


@pytest.mark.parametrize(
    ("wall", "operator", "expected"),
    [
        ((Grant("*", "rs"),), (), (Grant("Patient", "rs"),)),
        ((Grant("*", "rs"),), ("audit",), (Grant("*", "rs"),)),
        (
            (Grant("*", "crs", LIMIT),),
            ("users",),
            (Grant("Patient", "crs", LIMIT), Grant("AuditEvent", "c", LIMIT)),
        ),
        ((Grant("AuditEvent", "rs"),), (), ()),
        ((Grant("AuditEvent", "crs"),), (), (Grant("AuditEvent", "c"),)),
        ((Grant("Patient", "rs"),), (), (Grant("Patient", "rs"),)),
    ],
)
def test_all_types_are_not_the_audit(
    wall: tuple[Grant, ...], operator: tuple[str, ...], expected: tuple[Grant, ...]
) -> None:
    assert reserved(wall, operator, ["Patient", "AuditEvent"]) == expected
