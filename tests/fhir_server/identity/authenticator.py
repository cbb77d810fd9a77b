"""An authenticator of software, which answers what browsers are asked for."""

import html
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2.cose import ES256
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import (
    Aaguid,
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
)

UP, UV, BE, BS, AT = 0x01, 0x04, 0x08, 0x10, 0x40


def options_of(page: str) -> dict[str, Any]:
    """What a page asks a browser for."""
    [found] = re.findall(r'data-options="([^"]*)"', page)
    return dict(json.loads(html.unescape(found)))


@dataclass
class Authenticator:
    """A security key with one credential, in a browser that shows a page of `origin`."""

    origin: str
    host: str
    flags: int = UP | UV
    count: int = 0
    credential: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def make(self, options: Mapping[str, Any], **said: Any) -> str:
        """The answer with a new key."""
        public = ES256.from_cryptography_key(self.key.public_key())
        attested = AttestedCredentialData.create(Aaguid.NONE, self.credential, public)
        data = AuthenticatorData.create(self._of(), self.flags | AT, self.count, attested)
        client = self._client(options, {"type": "webauthn.create", **said})
        whole = AttestationObject.create("none", data, {})
        return self._answer({"clientDataJSON": client, "attestationObject": whole})

    def use(self, options: Mapping[str, Any], **said: Any) -> str:
        """The answer with a signature; it counts on."""
        self.count += 1
        data = AuthenticatorData.create(self._of(), self.flags, self.count)
        client = self._client(options, {"type": "webauthn.get", **said})
        signature = self.key.sign(data + client.hash, ec.ECDSA(hashes.SHA256()))
        parts = {"clientDataJSON": client, "authenticatorData": data, "signature": signature}
        return self._answer(parts)

    def _of(self) -> bytes:
        return sha256(self.host.encode()).digest()

    def _client(self, options: Mapping[str, Any], said: dict[str, Any]) -> CollectedClientData:
        challenge = websafe_decode(options["challenge"])
        told = {"challenge": challenge, "origin": self.origin, **said}
        return CollectedClientData.create(**told)

    def _answer(self, parts: Mapping[str, bytes]) -> str:
        id_ = websafe_encode(self.credential)
        response = {name: websafe_encode(part) for name, part in parts.items()}
        return json.dumps({"id": id_, "rawId": id_, "type": "public-key", "response": response})
