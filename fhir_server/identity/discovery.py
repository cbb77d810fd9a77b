"""What apps read first: where the endpoints are, and what this server can do.

https://hl7.org/fhir/smart-app-launch/conformance.html
https://openid.net/specs/openid-connect-discovery-1_0.html
"""

from typing import Any, Final

from fhir_server.identity import client_authentication, clients, signing
from fhir_server.server import Server

CAPABILITIES: Final = (
    "launch-ehr",
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-banner",
    "context-style",
    "context-ehr-patient",
    "context-ehr-encounter",
    "context-standalone-patient",
    "context-standalone-encounter",
    "permission-offline",
    "permission-online",
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
)
SCOPES: Final = (
    "openid",
    "fhirUser",
    "profile",
    "launch",
    "launch/patient",
    "launch/encounter",
    "offline_access",
    "online_access",
    "patient/*.cruds",
    "patient/*.rs",
    "user/*.cruds",
    "user/*.rs",
    "system/*.cruds",
    "system/*.rs",
)


def endpoints(server: Server) -> dict[str, str]:
    """Return the absolute URLs by their names in SMART's configuration."""
    root = f"{server.root}/auth"
    return {
        "authorization_endpoint": f"{root}/authorize",
        "token_endpoint": f"{root}/token",
        "introspection_endpoint": f"{root}/introspect",
        "revocation_endpoint": f"{root}/revoke",
        "registration_endpoint": f"{root}/register",
        "management_endpoint": f"{root}/manage",
    }


def smart_configuration(server: Server) -> dict[str, Any]:
    """Return the document at `[base]/.well-known/smart-configuration`."""
    return {**_shared(server), "capabilities": list(CAPABILITIES)}


def openid_configuration(server: Server) -> dict[str, Any]:
    """Return the document at `[base]/.well-known/openid-configuration`."""
    return {
        **_shared(server),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [signing.ALGORITHM],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "auth_time", "fhirUser", "name"],
    }


def _shared(server: Server) -> dict[str, Any]:
    methods = [one for one in clients.METHODS if one != "none"]
    return {
        "issuer": server.base,
        "jwks_uri": f"{server.root}/auth/jwks",
        **endpoints(server),
        "grant_types_supported": list(clients.GRANTS),
        "response_types_supported": ["code"],
        "scopes_supported": list(SCOPES),
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": list(client_authentication.ALGORITHMS),
        "code_challenge_methods_supported": ["S256"],
    }
