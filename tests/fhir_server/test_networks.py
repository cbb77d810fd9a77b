"""Which addresses are this machine, and what may not go to others in the clear."""

from contextlib import nullcontext

import pytest

from fhir_server.networks import Unprotected, check_protected, is_local, networks, within


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("localhost.example.org", False),
        ("127.1", False),
        ("", False),
    ],
)
def test_this_machine_is_loopback_and_localhost(host: str, *, local: bool) -> None:
    assert is_local(host) is local


@pytest.mark.parametrize(
    ("host", "inside"),
    [("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("fe80::1%eth0", True), ("10.1.3.3", False)],
)
def test_an_address_is_within_networks_however_it_is_written(host: str, *, inside: bool) -> None:
    assert within(host, networks(("10.1.2.0/24", "fe80::/10"))) is inside


@pytest.mark.parametrize(
    ("host", "tls", "plain", "refused"),
    [
        ("lis", False, False, True),
        ("10.0.0.1", False, False, True),
        ("10.0.0.1", True, False, False),
        ("10.0.0.1", False, True, False),
        ("127.0.0.1", False, False, False),
    ],
)
def test_nothing_goes_out_in_the_clear_unmeant(
    host: str, *, tls: bool, plain: bool, refused: bool
) -> None:
    expected = pytest.raises(Unprotected) if refused else nullcontext()
    with expected as caught:
        check_protected(host, tls=tls, plain=plain, mend="do that")
    if caught is not None:
        assert caught.value.strerror == "It would go out in the clear; do that"
