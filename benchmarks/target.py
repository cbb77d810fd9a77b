"""The server under test: where it listens and which processes it is."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Target:
    """Addresses of a running server; `pids` are the roots of its process trees.

    `base_url` is the FHIR base; `mllp` and `dicom` are (host, port) or None where
    the server has no such door; `headers` go with each HTTP request; `data_dir` is set
    where the server is our own.
    """

    name: str
    base_url: str
    mllp: tuple[str, int] | None = None
    dicom: tuple[str, int] | None = None
    called_ae: str = "ANY-SCP"
    pids: tuple[int, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    data_dir: Path | None = None

    @property
    def host(self) -> str:
        """The host of the FHIR base."""
        return urlsplit(self.base_url).hostname or "127.0.0.1"

    @property
    def port(self) -> int:
        """The port of the FHIR base."""
        return urlsplit(self.base_url).port or 80

    @property
    def path(self) -> str:
        """The path of the FHIR base, without a trailing slash."""
        return urlsplit(self.base_url).path.rstrip("/")

    @property
    def root(self) -> str:
        """What follows the path to name the base itself: a server at `/` needs the slash."""
        return "" if self.path else "/"

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Return a whole HTTP/1.1 request for a path below the base."""
        return self.head(method, path, len(body)) + body

    def head(self, method: str, path: str, length: int) -> bytes:
        """Return the head of a request whose body has `length` bytes."""
        lines = [f"{method} {self.path}{path} HTTP/1.1", f"Host: {self.host}:{self.port}"]
        lines.append("Accept: application/fhir+json")
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if length:
            lines += ["Content-Type: application/fhir+json", f"Content-Length: {length}"]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def fetch(self, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
        """Ask once and return the status and the parsed answer (None when it is no JSON)."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=120)
        headers = {"Accept": "application/fhir+json", **self.headers}
        if body:
            headers["Content-Type"] = "application/fhir+json"
        try:
            connection.request(method, self.path + path, body or None, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(content)
        except ValueError:
            return answer.status, None

    def count(self, query: str) -> int:
        """Return the `total` of a search with `_summary=count`, 0 where it gives none."""
        joint = "&" if "?" in query else "?"
        _, bundle = self.fetch("GET", f"/{query}{joint}_summary=count&_total=accurate")
        return int(bundle.get("total", 0)) if isinstance(bundle, dict) else 0
