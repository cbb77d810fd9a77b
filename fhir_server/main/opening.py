"""Whether a server may be opened as it is set, and to whom."""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from psycopg.conninfo import conninfo_to_dict

from fhir_server.config import Settings
from fhir_server.main.refused import Refused
from fhir_server.networks import is_local

_MEANT: Final = frozenset(("disable", "require", "verify-ca", "verify-full"))
"""Modes of libpq that leave nothing to the other side; `require` believes any certificate."""


def check_open(settings: Settings) -> None:
    """Refuse settings under which nobody logs in, or what is said could be overheard."""
    security = settings.security
    if settings.demo:
        if not is_local(settings.host):
            raise Refused(
                "--demo opens the server to everyone who reaches it, so it binds loopback only. "
                "Leave --host away, or start without --demo: docs/security.md says how."
            )
        return
    if not security.identity.enabled and not security.issuers:
        raise Refused(
            "Nobody could log in: the embedded login is off (security.identity.enabled) and no "
            "issuer of tokens is set (security.issuers). docs/security.md says how to set one, "
            "and --demo opens a server to this machine only."
        )
    _check_http(settings)
    _check_plain(settings)
    _check_database(settings)


def _check_http(settings: Settings) -> None:
    security = settings.security
    if is_local(settings.host) or security.tls is not None:
        return
    if not security.trusted_proxies:
        raise Refused(
            f"On {settings.host} tokens and records would go over the network in the clear. Set "
            "security.tls (certificate and key), or security.trusted_proxies if a proxy before "
            "this server ends TLS."
        )
    if not settings.base_url.startswith("https://"):
        raise Refused("Behind a proxy the server needs base_url, the https URL that clients use.")


def _check_database(settings: Settings) -> None:
    """Refuse a database beyond this machine to which all may go in the clear, unless that is meant.

    libpq does without TLS where the server has none (`sslmode=prefer`), and says nothing.
    """
    urls = {
        "database_url": settings.database_url,
        "serving_url": settings.serving_url,
        "tenants.login_url": settings.tenants.login_url,
    }
    for name, url in urls.items():
        if url and not _is_private(url):
            raise Refused(
                f"By {name} records may go over the network in the clear. Add sslmode=verify-full "
                "(with sslrootcert) to it; or sslmode=disable where nobody else is in that network."
            )


def _is_private(url: str) -> bool:
    given = conninfo_to_dict(url)
    mode = given.get("sslmode") or os.environ.get("PGSSLMODE")
    hosts = str(given.get("hostaddr") or given.get("host") or os.environ.get("PGHOST") or "")
    local = (not one or one[0] in "/@" or is_local(one) for one in hosts.split(","))
    return mode in _MEANT or all(local)


@dataclass(frozen=True, slots=True)
class Plain:
    """A port that takes messages without TLS: its name, where it binds, how it may stay so.

    `said` are the networks whose systems are meant to do without, `mend` the settings that
    end it.
    """

    name: str
    host: str
    said: Collection[str]
    setting: str
    mend: str


def _check_plain(settings: Settings) -> None:
    """Refuse ports of HL7 v2, ASTM and DICOM that the network may read, unless that is meant."""
    for one in _plain(settings):
        if not is_local(one.host) and not one.said:
            raise Refused(
                f"On {one.host} {one.name} would take what is said of patients in the clear. "
                f"{one.mend}; or, for systems that cannot do TLS, name their networks in "
                f"{one.setting}: no other address is then answered there."
            )


def _plain(settings: Settings) -> Iterator[Plain]:
    hl7, dicom, astm, host = settings.hl7, settings.dicom, settings.astm, settings.host
    if hl7.plain_port:
        off = "Set hl7.plain_port = false, and a port with TLS in hl7.channels"
        yield Plain("the MLLP port", host, hl7.plain_from, "hl7.plain_from", off)
    for one in hl7.channels:
        if one.tls is None:
            name, own = f"the channel {one.name}", one.plain_from or ()
            yield Plain(name, one.host or host, own, "its plain_from", "Set its tls")
    if settings.astm_port is not None and astm.tls is None:
        yield Plain("the ASTM port", host, astm.plain_from, "astm.plain_from", "Set astm.tls")
    if dicom.plain_port:
        off = "Set dicom.plain_port = false, and dicom.tls_port"
        yield Plain("the DICOM port", host, dicom.plain_from, "dicom.plain_from", off)
