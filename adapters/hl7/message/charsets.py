"""Character sets of MSH-18 and the decoding of a message.

HL7 v2.9 table 0211.
"""

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_ISO_8859 = {f"8859/{n}": f"iso8859-{n}" for n in (*range(1, 10), 10, 11, 13, 14, 15, 16)}
_CODECS: Final[Mapping[str, str]] = {
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
_JAPANESE: Final = frozenset(("ISOIR14", "ISOIR87", "ISOIR159", "JISX0202"))
# Their code units are wider than a byte: a block byte may stand inside a character.
_WIDE: Final[Mapping[str, str]] = {
    "UNICODE": "utf-16",
    "UNICODEUTF16": "utf-16",
    "UTF16": "utf-16",
    "UNICODEUTF32": "utf-32",
    "UTF32": "utf-32",
}
_WIDE_STARTS: Final = (
    # The four bytes of UTF-32 begin with the two of UTF-16, so they come first.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    ("MSH".encode("utf-32-le"), "utf-32-le"),
    ("MSH".encode("utf-32-be"), "utf-32-be"),
    ("MSH".encode("utf-16-le"), "utf-16-le"),
    ("MSH".encode("utf-16-be"), "utf-16-be"),
    ("FHS".encode("utf-16-le"), "utf-16-le"),
    ("FHS".encode("utf-16-be"), "utf-16-be"),
    ("BHS".encode("utf-16-le"), "utf-16-le"),
    ("BHS".encode("utf-16-be"), "utf-16-be"),
)
_NO_STATEMENT = frozenset(("", "ASCII", "ISOIR6"))
_IGNORED = re.compile(r"[\s_-]+")
_FIELD_18 = 18
_HEADER_BYTES = 4 << 10
_ESC = b"\x1b"
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
    """Return MSH-18 with its repetitions, read in bytes; "" where there is none."""
    return "~".join(_field_18(raw[:_HEADER_BYTES].decode("latin-1")))


def _field_18(text: str) -> list[str]:
    line = re.split(r"[\r\n]", text.lstrip("\ufeff \r\n\t"), maxsplit=1)[0]
    if not line.startswith("MSH") or len(line) < 5:  # noqa: PLR2004  (MSH, separator, one mark)
        return [""]
    fields = line.split(line[3], _FIELD_18)
    if len(fields) < _FIELD_18:
        return [""]
    repetition = fields[1][1] if len(fields[1]) > 1 else "~"
    return [one.strip() for one in fields[_FIELD_18 - 1].split(repetition)]


def codec_of(charset: str, raw: bytes = b"") -> str | None:
    """Return the Python codec of a MSH-18 value, None where it states nothing.

    Repetitions are separated by `~`: the first one counts, unless the bytes switch
    to a Japanese set that another names (ISO 2022). Raises UnsupportedCharset for
    other names.
    """
    names = [_IGNORED.sub("", one).upper() for one in charset.split("~")]
    if _ESC in raw and _JAPANESE.intersection(names):
        return "iso2022_jp_ext"
    if names[0] in _NO_STATEMENT:
        return None
    codec = _CODECS.get(names[0]) or _WIDE.get(names[0])
    if codec is None:
        raise UnsupportedCharset
    return codec


def wide_codec(raw: bytes) -> str | None:
    """Return the codec of UTF-16 or UTF-32 by the first bytes, None for everything else."""
    return next((codec for start, codec in _WIDE_STARTS if raw.startswith(start)), None)


def decode(raw: bytes, *, fallback: str, override: str = "", framed: bool = False) -> Decoded:
    """Return the message as text.

    Without a statement it is UTF-8, else `fallback` and guessed; `override`, a
    MSH-18 value, wins over what the sender says. UTF-16 and UTF-32 come from files
    only: what was `framed` in block bytes cannot be in them. Raises
    UnsupportedCharset or Undecodable.
    """
    wide = None if framed else wide_codec(raw)
    if wide is not None:
        return _decoded(raw, wide)
    content = raw.removeprefix(_BOM)
    said = override or declared(content)
    decoded = _read(content, said, fallback)
    # Bytes of a character may look like a separator until they are decoded.
    again = override or "~".join(_field_18(decoded.text[:_HEADER_BYTES]))
    return decoded if again == said else _read(content, again, fallback)


def _read(content: bytes, charset: str, fallback: str) -> Decoded:
    codec = codec_of(charset, content)
    if codec is None or codec == "utf-8":
        return _unicode_or(content, fallback)
    if codec in _WIDE.values():  # a name alone: the bytes do not begin so
        raise UnsupportedCharset
    return _decoded(content, codec)


def _decoded(content: bytes, codec: str) -> Decoded:
    try:
        return Decoded(content.decode(codec).removeprefix("\ufeff"), codec, guessed=False)
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
