"""A multipart body taken apart as it arrives.

https://www.rfc-editor.org/rfc/rfc2046#section-5.1
https://www.rfc-editor.org/rfc/rfc2387
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

MAX_HEADERS = 16 << 10

_PLAIN = r"[!#$%&'*+.^_`|~0-9A-Za-z/:=?()<>@,\[\]{}-]+"
_PARAMETER = re.compile(
    rf";\s*(?P<name>[!#$%&\'*+.^_`|~0-9A-Za-z-]+)\s*=\s*"
    rf'(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>{_PLAIN}))\s*'
)
_TYPE = re.compile(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*")
_BOUNDARY = re.compile(r"[ 0-9A-Za-z'()+_,./:=?-]{0,69}[0-9A-Za-z'()+_,./:=?-]")
# What may stand behind the boundary on its line: the mark of the last one, and padding.
_REST = re.compile(rb"(--)?[ \t]*(\r\n|\Z)")
_PARTIAL = re.compile(rb"-|(--)?[ \t]{0,256}\r?")
_LAST = re.compile(rb"(--)[ \t]*")


class Malformed(Exception):
    """The body is no multipart body; the text names the rule."""


@dataclass(frozen=True, slots=True)
class Begin:
    """A part begins; its header fields by lower-case name."""

    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class End:
    """A part is complete."""


Event = Begin | bytes | End


def media_type(field: str) -> tuple[str, dict[str, str]]:
    """Return type and parameters of a Content-Type field, in lower case but for the values.

    The type is "" where it cannot be read. Values may be quoted or not, also where they
    hold what RFC 9110 wants quoted, as `type=application/dicom`.
    """
    found = _TYPE.match(field)
    if not found:
        return "", {}
    parameters: dict[str, str] = {}
    for one in _PARAMETER.finditer(field, found.end()):
        quoted = one["quoted"]
        value = one["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        parameters.setdefault(one["name"].lower(), value)
    return found[1].lower(), parameters


class Multipart:
    """The reader of one body: `feed` it what arrives, then `close` it.

    It keeps what it was fed last, and of older pieces less than a boundary or one part's
    header fields.
    """

    def __init__(self, boundary: str) -> None:
        if not _BOUNDARY.fullmatch(boundary):
            raise Malformed("The boundary is absent, or none")
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        # The first boundary may be the first line of all.
        self._data = b"\r\n"
        self._at = 0
        self._step = self._preamble
        self._inside = False
        self._over = False

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield what the next piece of the body tells. Raises Malformed."""
        self._data = self._data[self._at :] + data
        self._at = 0
        while True:
            before = (self._step, self._at)
            yield from self._step()
            if before == (self._step, self._at):
                return

    def close(self) -> Iterator[Event]:
        """Yield what the end of the body tells. Raises Malformed where it came too early."""
        if self._step == self._line:
            found = _LAST.fullmatch(self._data, self._at + len(self._delimiter))
            if found:
                yield from self._boundary(found)
        if not self._over:
            raise Malformed("The body ends before its last boundary")

    def _preamble(self) -> Iterator[Event]:
        """Pass over what stands before the first boundary."""
        self._at = self._delimited(self._line)
        yield from ()

    def _body(self) -> Iterator[Event]:
        """Yield content up to a delimiter, or up to what may be the beginning of one."""
        begin, self._at = self._at, self._delimited(self._line)
        if self._at > begin:
            yield self._data[begin : self._at]

    def _delimited(self, then: Callable[[], Iterator[Event]]) -> int:
        """Return where the next delimiter begins, or at the end may begin."""
        found = self._data.find(self._delimiter, self._at)
        if found >= 0:
            self._step = then
            return found
        size = len(self._data)
        tail = self._data.find(b"\r", max(self._at, size - len(self._delimiter) + 1))
        return size if tail < 0 else tail

    def _line(self) -> Iterator[Event]:
        """Read the rest of the line of a delimiter; anything else there, and it is none."""
        start = self._at + len(self._delimiter)
        found = _REST.match(self._data, start)
        if found and found[2]:
            yield from self._boundary(found)
        elif not found and not _PARTIAL.fullmatch(self._data, start):
            if self._inside:
                yield self._data[self._at : self._at + 2]
            self._at += 2
            self._step = self._body if self._inside else self._preamble

    def _boundary(self, found: re.Match[bytes]) -> Iterator[Event]:
        if self._inside:
            yield End()
        self._at = found.end()
        self._inside = False
        self._over = found[1] is not None
        self._step = self._epilogue if self._over else self._headers

    def _headers(self) -> Iterator[Event]:
        """Read the header fields of a part, of which there may be none."""
        begin = self._at
        if self._data.startswith(b"\r\n", begin):
            end, size = begin, 2
        else:
            end, size = self._data.find(b"\r\n\r\n", begin), 4
        if (len(self._data) if end < 0 else end) - begin > MAX_HEADERS:
            raise Malformed("The header fields of a part are too long")
        if end < 0:
            return
        self._at = end + size - 2
        self._inside = True
        self._step = self._gap
        yield Begin(_fields(self._data[begin:end]))

    def _gap(self) -> Iterator[Event]:
        """Pass over the empty line; a part without content may end with it (RFC 2046, 5.1.1)."""
        shown = self._data[self._at : self._at + len(self._delimiter)]
        if shown == self._delimiter:
            self._step = self._line
        elif not self._delimiter.startswith(shown):
            self._at += 2
            self._step = self._body
        yield from ()

    def _epilogue(self) -> Iterator[Event]:
        """Pass over what stands behind the last boundary."""
        self._at = len(self._data)
        yield from ()


def _fields(raw: bytes) -> dict[str, str]:
    """Return header fields; one may go on in lines that begin with a space."""
    lines = raw.decode("latin_1").replace("\r\n ", " ").replace("\r\n\t", " ").split("\r\n")
    fields: dict[str, str] = {}
    for line in filter(None, lines):
        name, colon, value = line.partition(":")
        if not colon:
            raise Malformed("A line of a part's header is no field")
        fields[name.strip().lower()] = value.strip()
    return fields
