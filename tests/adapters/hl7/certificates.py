"""Certificates for a listener and its senders, made as a hospital's own authority would."""

import datetime as dt
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_YESTERDAY = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
_HOUR = dt.timedelta(hours=1)
_DAYS = dt.timedelta(days=30)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key in PEM files."""

    certificate: Path
    key: Path
    fingerprint: str


@dataclass(frozen=True)
class Authority:
    """Who signs; `file` is its certificate in PEM."""

    place: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def file(self) -> Path:
        return self.place / f"{_common(self.certificate)}.pem"

    def sign(self, name: str, file: str = "", *, expired: bool = False) -> Pair:
        """Make a certificate for this name and 127.0.0.1, in files of that name."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName(
            [x509.DNSName(name), x509.DNSName("127.0.0.1"), x509.IPAddress(ip_address("127.0.0.1"))]
        )
        made = (
            _builder(name, key.public_key(), self.certificate.subject, expired=expired)
            .add_extension(names, critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )
        pair = Pair(
            self.place / f"{file or name}.pem",
            self.place / f"{file or name}.key",
            made.fingerprint(hashes.SHA256()).hex(":"),
        )
        pair.key.write_bytes(_pem(key))
        pair.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        return pair


def authority(place: Path, name: str) -> Authority:
    """Make an authority with its certificate in a file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        _builder(name, key.public_key(), subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_signs(), critical=True)
        .sign(key, hashes.SHA256())
    )
    own = Authority(place, made, key)
    own.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return own


def _builder(
    name: str, key: ec.EllipticCurvePublicKey, issuer: x509.Name, *, expired: bool = False
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_YESTERDAY)
        .not_valid_after(_YESTERDAY + (_HOUR if expired else _DAYS))
    )


def _signs() -> x509.KeyUsage:
    said = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "encipher_only", "decipher_only"), False,
    )  # fmt: skip
    return x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **said)


def _common(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
