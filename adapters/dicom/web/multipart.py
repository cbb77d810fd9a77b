"""Bodies of several parts, as they are written.

https://www.rfc-editor.org/rfc/rfc2387
https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_8.6.1.2.1
"""

import secrets
from dataclasses import dataclass, field

_RANDOM_BYTES = 18


@dataclass(frozen=True, slots=True)
class Multipart:
    """A multipart/related body: its parts' media type and its boundary."""

    media: str
    boundary: str = field(default_factory=lambda: secrets.token_hex(_RANDOM_BYTES))

    @property
    def content_type(self) -> str:
        """Return the Content-Type of the whole."""
        return f'multipart/related; type="{self.media}"; boundary="{self.boundary}"'

    def head(self, content_type: str, location: str = "", *, first: bool = False) -> bytes:
        """Return what stands before the content of a part: delimiter and header."""
        lines = ["" if first else "\r\n", f"--{self.boundary}\r\n"]
        lines.append(f"Content-Type: {content_type}\r\n")
        if location:
            lines.append(f"Content-Location: {location}\r\n")
        return ("".join(lines) + "\r\n").encode("latin-1")

    def end(self) -> bytes:
        """Return what stands after the last part."""
        return f"\r\n--{self.boundary}--\r\n".encode()
