from typing import Any

import psycopg
import pytest

from fhir_server.config import Settings
from fhir_server.main.opening import check_open
from fhir_server.main.refused import Refused
from fhir_server.main.startable import check_people
from fhir_server.security_settings import SecuritySettings

ISSUER = {"url": "https://login.example.org", "clients": ("app",)}
PROXIED = {"host": "0.0.0.0", "base_url": "https://fhir.example.org/fhir"}
OFF = {"identity": {"enabled": False}}
TLS = {"tls": {"certificate": "c.pem", "key": "k.pem"}}
QUIET = {"hl7": {"plain_port": False}, "dicom": {"plain_port": False}}
LAB = ("10.9.0.0/28",)
AWAY = "postgresql://sangam@db.example.org/sangam"


def settings(security: dict[str, Any], **more: Any) -> Settings:
    return Settings(security=SecuritySettings(**security), **more)


def open_(**more: Any) -> Settings:
    """Settings of a server whose HTTP port beyond this machine has TLS."""
    return settings(TLS, host="0.0.0.0", **more)


def channel(**said: Any) -> dict[str, Any]:
    return {
        **QUIET,
        "hl7": {"plain_port": False, "channels": ({"name": "icu", "port": 1, **said},)},
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (settings({}, demo=True, host="0.0.0.0"), "loopback only"),
        (settings({}, demo=True, host="hospital.example"), "loopback only"),
        (settings(OFF), "Nobody could log in"),
        (settings({}, host="0.0.0.0"), "in the clear"),
        (settings({"issuers": (ISSUER,)}, host="hospital.example"), "in the clear"),
        (settings({"trusted_proxies": ("10.0.0.0/8",)}, host="0.0.0.0"), "needs base_url"),
        (open_(dicom={"plain_port": False}), "the MLLP port .* hl7.plain_from"),
        (open_(hl7={"plain_port": False}), "the DICOM port .* dicom.plain_from"),
        (open_(**QUIET, astm_port=1), "the ASTM port .* astm.plain_from"),
        (open_(**channel()), "the channel icu .* its plain_from"),
        (settings({}, **channel(host="0.0.0.0")), "the channel icu"),
        (settings({}, database_url=AWAY), "By database_url .* sslmode=verify-full"),
        (settings({}, database_url=f"{AWAY}?sslmode=prefer"), "By database_url"),
        (settings({}, database_url="host=127.0.0.1,10.0.0.9"), "By database_url"),
        (settings({}, tenants={"login_url": AWAY}), "By tenants.login_url"),
    ],
    ids=[
        *("demo for all", "demo by name", "no login", "plain", "plain with issuer", "no base"),
        *("plain MLLP", "plain DICOM", "plain ASTM", "plain channel", "plain channel elsewhere"),
        *("plain database", "database that may be plain", "one of two", "plain login of tenants"),
    ],
)
def test_a_server_is_not_opened(given: Settings, words: str) -> None:
    with pytest.raises(Refused, match=words):
        check_open(given)


@pytest.mark.parametrize(
    "given",
    [
        *(settings({}, demo=True, host=one) for one in ("127.0.0.1", "127.1.2.3", "::1")),
        settings({}, demo=True, host="localhost"),
        settings({}),
        settings({**OFF, "issuers": (ISSUER,)}),
        open_(**QUIET),
        settings({"trusted_proxies": ("10.0.0.0/8",)}, **PROXIED, **QUIET),
        open_(hl7={"plain_from": LAB}, dicom={"plain_from": LAB}),
        open_(**QUIET, astm_port=1, astm={"plain_from": LAB}),
        open_(**QUIET, astm_port=1, astm=TLS),
        open_(**channel(plain_from=LAB)),
        open_(**channel(**TLS)),
        open_(**channel(host="127.0.0.1")),
        *(settings({}, database_url=f"{AWAY}?sslmode={one}") for one in ("verify-full", "disable")),
        settings({}, database_url="postgresql://sangam@127.0.0.1:5432/sangam"),
        settings({}, database_url="postgresql:///sangam?host=/run/postgresql"),
    ],
)
def test_a_server_is_opened(given: Settings) -> None:
    check_open(given)


def test_what_is_real_is_not_opened_to_a_demonstration(database_url: str) -> None:
    real, demo = settings({}), settings({}, demo=True)
    check_people(demo, database_url)
    with pytest.raises(Refused, match="sangam user add"):
        check_people(real, database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO identity_user (id, name, display, password, demo)"
            " VALUES ('u1', 'sample', 'Sample', '', true)"
        )
        check_people(demo, database_url)
        with pytest.raises(Refused, match="sangam user add"):
            check_people(real, database_url)
        connection.execute("UPDATE identity_user SET demo = false")
    check_people(real, database_url)
    with pytest.raises(Refused, match="is not opened by --demo"):
        check_people(demo, database_url)


def test_tokens_of_an_issuer_do_without_users_here(database_url: str) -> None:
    check_people(settings({"issuers": (ISSUER,)}), database_url)
