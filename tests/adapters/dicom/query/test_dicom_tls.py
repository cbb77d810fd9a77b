"""Associations over TLS, both ways."""

import datetime as dt
import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from adapters.dicom import listener
from adapters.dicom.network import tls
from adapters.dicom.network.scu import Refusal, Sender
from adapters.dicom.network.wire import Closed
from adapters.dicom.query.calling import accepting, call
from adapters.dicom.query.peers import Known, add
from adapters.dicom.simulation.computed_tomography import Study, instances
from fhir_server.audit.happening import PEER_REFUSED
from fhir_server.audit.record import read
from fhir_server.blobs import Blobs
from fhir_server.config import Settings
from fhir_server.dicom_settings import DicomSettings

VERIFICATION = ("1.2.840.10008.1.1", "1.2.840.10008.1.2")


@dataclass(frozen=True)
class Issued:
    """A certificate and its key as files, and its SHA-256."""

    certificate: Path
    key: Path
    fingerprint: str


class Authority:
    """Issues certificates into a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        found = self._builder(self._name, self._key, ca=True).sign(self._key, hashes.SHA256())
        self.path = directory / "authority.pem"
        self.path.write_bytes(found.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = [x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.1"))]
        builder = self._builder(subject, key, ca=False).add_extension(
            x509.SubjectAlternativeName(names), critical=False
        )
        found = builder.sign(self._key, hashes.SHA256())
        certificate, key_file = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        certificate.write_bytes(found.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        der = found.public_bytes(serialization.Encoding.DER)
        return Issued(certificate, key_file, hashlib.sha256(der).hexdigest())

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def settings_of(authority: Authority, issued: Issued | None) -> DicomSettings:
    own = {"tls_certificate": str(issued.certificate), "tls_key": str(issued.key)} if issued else {}
    return DicomSettings(tls_ca=str(authority.path), quiet_seconds=0, stop_seconds=5, **own)


@contextmanager
def listening(dicom: DicomSettings, conninfo: str, root: Path) -> Iterator[int]:
    settings = Settings(demo=True, data_dir=root.parent, dicom=dicom)
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        thread = threading.Thread(
            target=listener.listen,
            args=(settings, conninfo, Blobs(root), sock, stop),
            kwargs={"secure": accepting(dicom)},
        )
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            stop.set()
            thread.join(30)


@pytest.fixture
def port(authority: Authority, database_url: str, tmp_path: Path) -> Iterator[int]:
    """The port of a listener that wants certificates."""
    dicom = settings_of(authority, authority.issue("sangam"))
    with listening(dicom, database_url, tmp_path / "blobs") as found:
        yield found


def calling(
    authority: Authority, issued: Issued | None, port: int, *, title: str = "CT1", **row: object
) -> Sender:
    peer = Known("SANGAM", "127.0.0.1", port, tls=True, **row)
    one = next(instances(Study(1, 1, size=8)))
    pairs = [VERIFICATION, (one.sop_class_uid, one.transfer_syntax_uid)]
    return call(settings_of(authority, issued), peer, title, pairs)


def test_instances_come_over_tls_with_a_certificate(authority: Authority, port: int) -> None:
    with calling(authority, authority.issue("ct1"), port) as sender:
        assert sender.echo() == 0
        assert [sender.store(one) for one in instances(Study(1, 2, size=64))] == [0, 0]


WHY = {
    "none": "The TLS handshake failed (peer did not return a certificate)",
    "other authority": "The TLS handshake failed (certificate signature failure)",
}


def refused(conninfo: str) -> list[tuple[str, str]]:
    """Return why somebody is recorded as refused, and who."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for _ in range(500):
            rows = connection.execute("SELECT said FROM audit_record ORDER BY position").fetchall()
            if rows:
                break
            time.sleep(0.01)
    found = [one for (said,) in rows for one in read(said)]
    return [(str(one.detail), one.who.name) for one in found if one.happening == PEER_REFUSED]


def test_plain_talk_to_the_port_with_tls_is_recorded(port: int, database_url: str) -> None:
    with pytest.raises((Closed, OSError)):
        Sender(("127.0.0.1", port), called="SANGAM", calling="CT1")
    why = "The TLS handshake failed (wrong version number)"
    assert refused(database_url) == [(why, "- at 127.0.0.1")]


@pytest.mark.parametrize("shown", ["none", "other authority"])
def test_without_a_certificate_of_our_authority_nobody_comes_in(
    authority: Authority, port: int, tmp_path: Path, database_url: str, shown: str
) -> None:
    (tmp_path / "other").mkdir()
    issued = Authority(tmp_path / "other").issue("ct1") if shown != "none" else None
    with pytest.raises((Closed, OSError)):
        calling(authority, issued, port)
    assert refused(database_url) == [(WHY[shown], "- at 127.0.0.1")]


def test_a_peer_with_the_certificate_of_another_is_rejected(
    authority: Authority, port: int, database_url: str
) -> None:
    own, other = authority.issue("ct1"), authority.issue("ct2")
    with psycopg.connect(database_url, autocommit=True) as connection:
        add(connection, Known("CT1", "*", services=("echo",), identity="ct1"))
        add(connection, Known("CT2", "*", services=("echo",), identity=other.fingerprint))
    with calling(authority, own, port) as sender:
        assert sender.echo() == 0
    with calling(authority, other, port, title="CT2") as sender:
        assert sender.echo() == 0
    with pytest.raises(Refusal) as caught:
        calling(authority, other, port)
    assert caught.value.body == bytes((0, 1, 1, 3))


def test_a_peer_that_we_call_must_prove_who_it_is(authority: Authority, port: int) -> None:
    own = authority.issue("ct1")
    with calling(authority, own, port, identity="sangam") as sender:
        assert sender.echo() == 0
    with pytest.raises(ssl.SSLCertVerificationError):
        calling(authority, own, port, identity="pacs")


def test_tls_1_1_is_refused(authority: Authority, port: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_verify_locations(authority.path)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", port), 10) as sock, pytest.raises(OSError):  # noqa: PT011  (as the peer ends it)
        context.wrap_socket(sock, server_hostname="127.0.0.1")


def test_replaced_files_count_at_once(authority: Authority) -> None:
    issued = authority.issue("sangam")
    reloading = tls.Reloading(tls.Files(str(issued.certificate), str(issued.key)))
    before = reloading.context()
    assert reloading.context() is before
    authority.issue("sangam")
    after = reloading.context()
    assert after is not before
    issued.key.unlink()
    assert reloading.context() is after
