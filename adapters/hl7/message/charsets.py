"""Character sets of MSH-18 and the decoding of a message.

HL7 v2.9 table 0211.
"""

import codecs
import re
from dataclasses import dataclass

_ISO_8859 = {f"8859/{n}": f"iso8859-{n}" for n in (*range(1, 10), 10, 11, 13, 14, 15, 16)}
_CODECS = {
    **_ISO_8859,
    "UNICODEUTF8": "utf-8",
    "UTF8": "utf-8",
    "GB180302000": "gb18030",
    "BIG5": "big5",
    "KSX1001": "euc_kr",
    "ISOIR14": "shift_jis",
    "ISOIR87": "iso2022_jp_ext",
    "ISOIR159": "iso2022_jp_ext",
    "JISX0202": "iso2022_jp_ext",
}
_NO_STATEMENT = frozenset(("", "ASCII", "ISOIR6"))
_IGNORED = re.compile(r"[\s_-]+")
_FIELD_18 = 18
_HEADER_BYTES = 4 << 10
_BOM = codecs.BOM_UTF8


class UnsupportedCharset(ValueError):
    """MSH-18 names a character set that cannot be read here."""


class Undecodable(ValueError):
    """The bytes are not in the character set that was promised."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A message as text, the Python codec that read it, and whether it was guessed."""

    text: str
    codec: str
    guessed: bool


def declared(raw: bytes) -> str:
    """Return the first repetition of MSH-18, read in bytes; "" where there is none."""
    return _field_18(raw[:_HEADER_BYTES].decode("latin-1"))


def _field_18(text: str) -> str:
    line = re.split(r"[\r\n]", text.lstrip("\ufeff \r\n\t"), maxsplit=1)[0]
    if not line.startswith("MSH") or len(line) < 5:  # noqa: PLR2004  (MSH, separator, one mark)
        return ""
    fields = line.split(line[3], _FIELD_18)
    if len(fields) < _FIELD_18:
        return ""
    repetition = fields[1][1] if len(fields[1]) > 1 else "~"
    return fields[_FIELD_18 - 1].split(repetition, 1)[0].strip()


def codec_of(charset: str, raw: bytes = b"") -> str | None:
    """Return the Python codec of a MSH-18 value, None where it states nothing.

    Raises UnsupportedCharset for names that cannot be read over MLLP: UTF-16 and
    UTF-32 hold the block bytes inside characters.
    """
    name = _IGNORED.sub("", charset).upper()
    if name in _NO_STATEMENT:
        return None
    codec = _CODECS.get(name)
    if codec is None:
        raise UnsupportedCharset
    if codec == "shift_jis" and b"\x1b" in raw:
        return "iso2022_jp_ext"
    return codec


def decode(raw: bytes, *, fallback: str, override: str = "") -> Decoded:
    """Return the message as text.

    Without a statement it is UTF-8, else `fallback` and guessed; `override`, a
    MSH-18 value, wins over what the sender says. Raises UnsupportedCharset or
    Undecodable.
    """
    content = raw.removeprefix(_BOM)
    said = override or declared(content)
    decoded = _decoded(content, said, fallback)
    # Bytes of a character may look like a separator until they are decoded.
    again = override or _field_18(decoded.text[:_HEADER_BYTES])
    return decoded if again == said else _decoded(content, again, fallback)


def _decoded(content: bytes, charset: str, fallback: str) -> Decoded:
    codec = codec_of(charset, content)
    if codec is None or codec == "utf-8":
        return _unicode_or(content, fallback)
    try:
        return Decoded(content.decode(codec), codec, guessed=False)
    except UnicodeDecodeError:
        raise Undecodable from None


def _unicode_or(content: bytes, fallback: str) -> Decoded:
    try:
        return Decoded(content.decode("utf-8"), "utf-8", guessed=False)
    except UnicodeDecodeError:
        pass
    try:
        return Decoded(content.decode(fallback), fallback, guessed=True)
    except UnicodeDecodeError:
        raise Undecodable from None
