"""Ports of HL7 v2 and ASTM without TLS are for this machine and for networks that are named."""

import socket

import pytest

from adapters.hl7.mllp.port import Peer, Port
from fhir_server.channel_settings import Hl7Tls
from fhir_server.hl7_settings import Hl7Settings

TLS = Hl7Tls(certificate="c.pem", key="k.pem")


@pytest.mark.parametrize(
    ("host", "tls", "plain", "why"),
    [
        ("127.0.0.1", None, (), ""),
        ("::1", None, (), ""),
        ("::ffff:127.0.0.1", None, (), ""),
        ("10.1.2.3", None, (), "it does without TLS"),
        ("10.1.2.3", TLS, (), ""),
        ("10.1.2.3", None, ("10.1.2.0/28",), ""),
        ("::ffff:10.1.2.3", None, ("10.1.2.0/28",), ""),
        ("10.1.3.3", None, ("10.1.2.0/28",), "it does without TLS"),
        ("-", None, ("0.0.0.0/0",), "it does without TLS"),
        ("192.168.0.1", None, ("0.0.0.0/0",), "its address is not allowed"),
    ],
)
def test_who_may_do_without_tls(
    host: str, tls: Hl7Tls | None, plain: tuple[str, ...], why: str
) -> None:
    allowed = ("192.168.7.0/24",) if host.startswith("192") else ()
    with socket.socket() as sock:
        port = Port(sock, "icu", allowed, tls, plain)
        assert port.refusal(Peer(host, host)) == why


def test_a_channel_has_networks_of_its_own() -> None:
    said = {
        "plain_from": ("10.1.0.0/16",),
        "channels": (
            {"name": "icu", "port": 1, "plain_from": ("10.2.0.0/16",)},
            {"name": "er", "port": 2},
        ),
    }
    settings = Hl7Settings.model_validate(said)
    found = [settings.of(name).plain_from for name in ("icu", "er")]
    assert found == [("10.2.0.0/16",), ("10.1.0.0/16",)]
