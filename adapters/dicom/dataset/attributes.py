"""Indexed attributes read as values: the first one, a number, a code, a clean text.

Attributes are mappings from keyword to a list of strings, numbers or items.
"""

import re
from collections.abc import Mapping
from typing import Any

Attributes = Mapping[str, Any]

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+")
_INTEGER = re.compile(r"[+-]?\d{1,10}", re.ASCII)
_MAX_UNSIGNED_INT = 2_147_483_647


def text(attributes: Attributes, keyword: str) -> str:
    """Return the first value without control characters, "" when absent."""
    values = attributes.get(keyword) or ("",)
    return clean(str(values[0]))


def texts(attributes: Attributes, keyword: str) -> list[str]:
    """Return all values that are not empty."""
    return [value for value in map(clean, map(str, attributes.get(keyword, ()))) if value]


def clean(value: str) -> str:
    """Return a value that a FHIR string may hold: no control characters, no outer spaces."""
    return _CONTROL.sub(" ", value).strip()


def items(attributes: Attributes, keyword: str) -> list[Attributes]:
    """Return the items of a sequence."""
    return list(attributes.get(keyword, ()))


def unsigned(attributes: Attributes, keyword: str) -> int | None:
    """Return an integer string as a FHIR unsignedInt, None where it is not one."""
    value = text(attributes, keyword)
    number = int(value) if _INTEGER.fullmatch(value) else -1
    return number if 0 <= number <= _MAX_UNSIGNED_INT else None
