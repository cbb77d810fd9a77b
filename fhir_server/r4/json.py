"""The JSON representation, read strictly and with its number literals.

https://hl7.org/fhir/R4/json.html
"""

import json as standard_json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, Self

import msgspec

from fhir_server.config import Limits
from fhir_server.errors import BadRequest

MAX_DIGITS = 64
# That of a double; an official example has E-245 and E+245.
MAX_EXPONENT = 308

_NULL_CHARACTER = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_SHORT = 18  # digits that R4 asks for; a literal this short and without exponent is within caps
_LONG_NUMBER = b"0" * (MAX_DIGITS + 1)
_DIGITS_AS_ZERO = bytes.maketrans(b"123456789", b"000000000")
_VALLEYS = tuple((b"}" * width + b"{" * width) for width in (32, 16, 8, 4, 2, 1))
_EMPTY_CONTAINER = re.compile(rb"\{:*\}")
_AS_BRACES = bytes.maketrans(b"[]", b"{}")
_ALL_BUT_BRACES = bytes(set(range(256)) - set(b'"{}[]'))
_ALL_BUT_MEMBERS = bytes(set(range(256)) - set(b'"{}[]:'))


def _decimal(literal: str) -> Decimal:
    if len(literal) <= _SHORT and "e" not in literal and "E" not in literal:
        return Decimal(literal)
    number = Decimal(literal)
    if len(number.as_tuple().digits) > MAX_DIGITS or abs(number.adjusted()) > MAX_EXPONENT:
        raise InvalidOperation
    return number


class Number(Decimal):
    """A number that is written again as it was read, where its value would be written otherwise.

    `0.0000000100` is the value 1.00E-8: `str` gives the `literal`, arithmetic and
    comparison see the value.
    """

    __slots__ = ("literal",)
    literal: str

    def __new__(cls, literal: str) -> Self:  # noqa: D102  (an `__init__` to its readers)
        number = super().__new__(cls, literal)
        number.literal = literal
        return number

    def __str__(self) -> str:
        return self.literal


def _literal(value: object) -> msgspec.Raw:
    """Encode what the encoder does not know by itself."""
    if type(value) is Number:
        return msgspec.Raw(value.literal.encode())
    raise TypeError(f"{type(value).__name__} has no JSON form")


def number(literal: str) -> Decimal:
    """Return the Decimal of a JSON number; its `str` is the literal.

    decimal.InvalidOperation for more digits or a larger exponent than are taken.
    """
    value = _decimal(literal)
    return value if str(value) == literal else Number(literal)


_decoder = msgspec.json.Decoder(float_hook=_decimal)
_keeping_decoder = msgspec.json.Decoder(float_hook=number)
_encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=_literal)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def decode(raw: bytes) -> Any:  # noqa: ANN401  (any JSON)
    """Return the value of a JSON text: objects as dict, fractions as Decimal with their digits.

    BadRequest (code `structure`) for what is not strict JSON in UTF-8: NaN, lone
    surrogates, a null character, a member named twice, a number over 64 digits.
    """
    return _decode(_decoder, raw)


def decode_keeping(raw: bytes) -> Any:  # noqa: ANN401  (any JSON)
    """Return what `decode` does, from which `encode` writes each fraction's literal again.

    For a document that is changed in places and written back: some fractions are a
    `Number`. It takes about twice the time of `decode` for a fraction.
    """
    return _decode(_keeping_decoder, raw)


def _decode(decoder: msgspec.json.Decoder[Any], raw: bytes) -> Any:  # noqa: ANN401  (any JSON)
    try:
        value = decoder.decode(raw)
        if _LONG_NUMBER in raw.translate(_DIGITS_AS_ZERO):
            standard_json.loads(raw, parse_int=_decimal)
    except UnicodeDecodeError:
        raise _refusal("The text is not valid UTF-8") from None
    except RecursionError:
        raise _refusal("The JSON is nested too deeply") from None
    except InvalidOperation:
        raise _refusal("A number has too many digits") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise _refusal(_malformed(error)) from None
    if b"\\u0000" in raw and _NULL_CHARACTER.search(raw):
        raise _refusal("A string has a null character")
    _refuse_duplicates(raw, value)
    return value


def encode(value: object) -> bytes:
    """Return the compact JSON text; a Decimal becomes a number with its digits."""
    return _encoder.encode(value)


def members(raw: bytes) -> dict[str, msgspec.Raw]:
    """Return each top-level member's name and the bytes of its value, in their order.

    `raw` must be an object that `decode` has accepted; strings inside the values
    are not looked at here.
    """
    try:
        return _members.decode(raw)
    except msgspec.DecodeError as error:
        raise _refusal(_malformed(error)) from None


def check_caps(raw: bytes, limits: Limits) -> None:
    """Refuse a text that is costly to decode, before anything is built from it.

    BadRequest for nesting over `limits.json_depth`, an object with more members
    than `limits.object_members`, a string over `limits.string_bytes`. Only searches of the
    whole text in C are used, as the text may be megabytes of brackets.
    """
    openings = raw.count(b"{") + raw.count(b"[")
    many_members = raw.count(b":") > limits.object_members
    if openings <= limits.json_depth and not many_members and len(raw) <= limits.string_bytes:
        return
    # Without escapes each quotation mark begins or ends a string.
    plain = raw.replace(b"\\\\", b"__").replace(b'\\"', b"__") if b"\\" in raw else raw
    if len(raw) > limits.string_bytes:
        _check_strings(plain, limits)
    if openings > limits.json_depth:
        _check_depth(_outside_strings(plain, _ALL_BUT_BRACES), limits.json_depth)
    if many_members:
        _check_members(_outside_strings(plain, _ALL_BUT_MEMBERS), limits)


def _outside_strings(plain: bytes, dropped: bytes) -> bytes:
    """Return what lies outside of strings without the dropped bytes; brackets become braces.

    Most strings are empty by then, so that few are left to be cut out; where the
    end of one meets the next beginning, nothing lay between them.
    """
    text = plain.translate(_AS_BRACES, dropped).replace(b'""', b"")
    return b"".join(text.split(b'"')[::2])


def _check_strings(plain: bytes, limits: Limits) -> None:
    if max(map(len, plain.split(b'"')[1::2]), default=0) > limits.string_bytes:
        raise BadRequest("A string is too long", code="too-long")


def _check_depth(braces: bytes, depth: int) -> None:
    """Refuse more than `depth` braces open at once.

    Read as a path that climbs at each opening, a text keeps its height when a
    valley (down, then up) is cut out; without valleys it is one peak.
    """
    too_deep = b"{" * (depth + 1)
    while too_deep not in braces:
        if b"}{" not in braces:
            return
        for valley in _VALLEYS:
            braces = braces.replace(valley, b"")
    raise _refusal("The JSON is nested too deeply")


def _check_members(braces: bytes, limits: Limits) -> None:
    """Peel the innermost containers; an object's colons come to stand side by side."""
    too_many = b":" * (limits.object_members + 1)
    for _ in range(limits.json_depth + 1):
        if too_many in braces:
            raise BadRequest("An object has too many members", code="too-long")
        peeled = _EMPTY_CONTAINER.sub(b"", braces)
        if len(peeled) == len(braces):
            return
        braces = peeled


def _refuse_duplicates(raw: bytes, value: object) -> None:
    """Refuse a member named twice; the decoder would keep the last in silence.

    The text of what was decoded then has fewer colons, unless the difference is
    hidden by a colon that was written as an escape.
    """
    escaped_colon = b"\\u" in raw and (b"\\u003a" in raw or b"\\u003A" in raw)
    if escaped_colon or raw.count(b":") != _encoder.encode(value).count(b":"):
        standard_json.loads(raw, object_pairs_hook=_distinct, parse_float=str, parse_int=str)


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise _refusal("An object has two members of the same name")


def _malformed(error: Exception) -> str:
    """Return where the text is broken; the decoder's own words may quote it."""
    place = re.search(r"\(byte (\d+)\)", str(error))
    return f"The text is not JSON (byte {place[1]})" if place else "The text is not JSON"


def _refusal(text: str) -> BadRequest:
    return BadRequest(text, code="structure")
