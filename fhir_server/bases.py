"""The URLs of a server: its FHIR base, those of its tenants, and what lies beside each.

https://hl7.org/fhir/R4/http.html#general
"""

import re

DEFAULT = "default"
"""The tenant that an installation is without any: schema `public`, the base URL itself."""

NAME = r"[a-z][a-z0-9-]{0,39}"
"""What a tenant may be called (it stands in URLs, folders and names of roles)."""

_OF_TENANT = re.compile(rf"(https?://[^/]+(?:/[^/]+)*)/[^/]+/t/({NAME})")


def of_tenant(base: str, name: str) -> str:
    """Return the FHIR base of a tenant: `[base]/t/[tenant]`."""
    return f"{base.rstrip('/')}/t/{name}"


def beside(base: str) -> str:
    """Return the URL below which that lies which is not FHIR: DICOMweb, pages, logins.

    It is the FHIR base without its last segment, and for a tenant `/t/[tenant]` below that:
    of `https://host/fhir/t/acme` it is `https://host/t/acme`.
    """
    found = _OF_TENANT.fullmatch(base.rstrip("/"))
    return f"{found[1]}/t/{found[2]}" if found else base.rstrip("/").rpartition("/")[0]
