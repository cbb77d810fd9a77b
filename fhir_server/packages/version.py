"""Versions of packages, and the ranges in which one is asked for.

https://confluence.hl7.org/display/FHIR/NPM+Package+Specification
"""

import re
from collections.abc import Iterable

from fhir_server.errors import BadRequest

_VERSION = re.compile(r"\d{1,9}(\.\d{1,9}){0,3}(-[A-Za-z0-9.-]{1,64})?(\+[A-Za-z0-9.-]{1,64})?")
_RANGE = re.compile(r"(\d{1,9}\.){0,3}[xX*]")
_MOVING = re.compile(r"current(\$.*)?|dev|latest")

Order = tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]


def is_version(text: str) -> bool:
    """Whether this is a version, such as `6.5.0` or `1.0.0-ballot`."""
    return _VERSION.fullmatch(text) is not None


def order(text: str) -> Order:
    """Return what versions are ordered by: numbers first, a label comes before none."""
    numbers, _, label = text.partition("+")[0].partition("-")
    parts = tuple(int(one) for one in numbers.split("."))
    while parts and parts[-1] == 0:
        parts = parts[:-1]
    labels = tuple(
        (not one.isdecimal(), int(one) if one.isdecimal() else 0, one) for one in label.split(".")
    )
    return parts, not label, labels


def best(wanted: str, known: Iterable[str]) -> str | None:
    """Return the highest of the known versions that is wanted, None where none is.

    `5.2.x` takes the releases that begin so, not what comes before a release.
    BadRequest for what names no fixed version (`current`, `dev`, `latest`) or no range.
    """
    if _MOVING.fullmatch(wanted):
        raise BadRequest(f"A dependency on `{wanted}` names no version")
    if is_version(wanted):
        exact = [one for one in known if order(one) == order(wanted)]
        return exact[0] if exact else None
    if not _RANGE.fullmatch(wanted):
        raise BadRequest("A dependency's version is neither a version nor a range such as 5.2.x")
    start = wanted.split(".")[:-1]
    found = [one for one in known if one.split(".")[: len(start)] == start and "-" not in one]
    return max(found, key=order, default=None)
