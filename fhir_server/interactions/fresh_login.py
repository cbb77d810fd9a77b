"""What needs a login that was just now.

https://www.rfc-editor.org/rfc/rfc9470
"""

import time

from fhir_server.caller import Caller
from fhir_server.errors import Unauthenticated
from fhir_server.server import Server


def require(server: Server, caller: Caller, deed: str) -> None:
    """Refuse a person whose login is not fresh, or of an unknown time: Unauthenticated.

    `deed` says what they log in again for, as "to break the glass".
    """
    seconds = server.settings.security.glass.login_minutes * 60
    if caller.authenticated is None or time.time() - caller.authenticated > seconds:
        # The app knows by this to have the person log in anew.
        challenge = f'Bearer error="insufficient_user_authentication", max_age="{seconds}"'
        raise Unauthenticated(f"Log in again {deed}", headers={"WWW-Authenticate": challenge})
