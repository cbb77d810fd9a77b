"""JSON Schemas of the primitive types; every pattern suits a linear-time engine.

https://hl7.org/fhir/R4/datatypes.html#primitive
"""

from fhir_server.r4.build.package import Json

# ASCII white space: with Unicode's, an official code that has a no-break space is refused.
_SPACE = r"[\t\n\x0b\x0c\r ]"
_VISIBLE = r"[^\t\n\x0b\x0c\r ]"

_YEAR = "(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_MONTH = "(?:0[1-9]|1[0-2])"
_LEAP_YEAR = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
# Days that exist, by the Gregorian calendar.
_DAY = (
    f"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    f"|{_LEAP_YEAR}-02-29)"
)
# Second 60 is a leap second.
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_OFFSET = "(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_BASE64 = f"(?:[A-Za-z0-9+/]{_SPACE}*)"
_PADDING = f"(?:={_SPACE}*)"

_PATTERNS = {
    "string": r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]+$",
    "code": f"^{_VISIBLE}+(?:{_SPACE}{_VISIBLE}+)*$",
    "id": r"^[A-Za-z0-9.-]{1,64}$",
    "uri": f"^{_VISIBLE}+$",
    "oid": r"^urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+$",
    "uuid": "^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    "date": f"^(?:{_YEAR}(?:-{_MONTH})?|{_DAY})$",
    "dateTime": f"^(?:{_YEAR}(?:-{_MONTH})?|{_DAY}(?:T{_TIME}{_OFFSET})?)$",
    "instant": f"^{_DAY}T{_TIME}{_OFFSET}$",
    "time": f"^{_TIME}$",
    "base64Binary": (
        f"^{_SPACE}*(?:{_BASE64}{{4}})*"
        f"(?:{_BASE64}{{4}}|{_BASE64}{{3}}{_PADDING}|{_BASE64}{{2}}{_PADDING}{{2}})$"
    ),
    # RFC 6838 with parameters, and the short names of FHIR's own formats.
    "mime": (
        r"^(?:json|xml|ttl|[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+*-]+"
        r"(?:[ \t]*;[^\x00-\x08\x0a-\x1f]*)?)$"
    ),
}
_LIKE = {"markdown": "string", "url": "uri", "canonical": "uri"}
_MAX_STRING = 1_048_576
_MAX_INTEGER = 2_147_483_647
_LEAST = {"integer": -_MAX_INTEGER - 1, "positiveInt": 1, "unsignedInt": 0}


def schemas() -> dict[str, Json]:
    """Return the schema of each primitive type, and of `mime`."""
    found: dict[str, Json] = {
        name: {"type": "string", "pattern": pattern} for name, pattern in _PATTERNS.items()
    }
    found["string"]["maxLength"] = _MAX_STRING
    found |= {name: found[like] for name, like in _LIKE.items()}
    found |= {
        name: {"type": "integer", "minimum": least, "maximum": _MAX_INTEGER}
        for name, least in _LEAST.items()
    }
    found["boolean"] = {"type": "boolean"}
    found["decimal"] = {"type": "number"}
    # Looked at by a parser, later.
    found["xhtml"] = {"type": "string", "minLength": 1}
    return found
