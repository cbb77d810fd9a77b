import pytest

from adapters.dicom.listener import allowed, networks, unwanted
from fhir_server.dicom_settings import DicomSettings


@pytest.mark.parametrize(
    ("host", "let_in"),
    [
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("192.168.1.1", True),
        ("::1", True),
        ("fe80::1%eth0", True),
        ("::ffff:10.1.2.3", True),
        ("8.8.8.8", False),
        ("::ffff:8.8.8.8", False),
        ("2a00:1450::1", False),
    ],
)
def test_without_networks_only_loopback_and_private_hosts_may_connect(
    host: str,
    let_in: bool,  # noqa: FBT001
) -> None:
    assert allowed(host, networks(DicomSettings().allow_hosts)) is let_in


@pytest.mark.parametrize(
    ("host", "let_in"),
    [("198.51.100.7", True), ("198.51.101.7", False), ("127.0.0.1", False), ("2001:db8::7", True)],
)
def test_with_networks_only_their_hosts_may_connect(host: str, let_in: bool) -> None:  # noqa: FBT001
    settings = DicomSettings(allow_hosts=("198.51.100.0/24", "2001:db8::/32"))
    assert allowed(host, networks(settings.allow_hosts)) is let_in


@pytest.mark.parametrize(
    ("host", "plain", "why"),
    [
        ("127.0.0.1", (), ""),
        ("::1", (), ""),
        ("10.1.2.3", (), "It does without TLS"),
        ("10.1.2.3", None, ""),
        ("10.1.2.3", ("10.1.2.0/28",), ""),
        ("::ffff:10.1.2.3", ("10.1.2.0/28",), ""),
        ("10.1.3.3", ("10.1.2.0/28",), "It does without TLS"),
        ("8.8.8.8", ("8.0.0.0/8",), "Its address is not allowed"),
    ],
)
def test_only_networks_that_are_named_may_do_without_tls(
    host: str, plain: tuple[str, ...] | None, why: str
) -> None:
    assert unwanted(host, (), None if plain is None else networks(plain)) == why
