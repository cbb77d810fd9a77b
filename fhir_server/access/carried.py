"""A caller sealed, to be known again when its request is carried out later.

https://hl7.org/fhir/R5/async-bundle.html
"""

from dataclasses import fields
from typing import Any, get_args

import msgspec

from fhir_server import seal
from fhir_server.caller import Caller
from fhir_server.rights import Grant, Limit, Rights

_PURPOSE = "carried caller"
_LIMITS = {kind.__name__: kind for kind in get_args(Limit)}
_OF_ONE_REQUEST = frozenset(("trail",))


def sealed(key: bytes, caller: Caller, about: str) -> str:
    """Return the caller with all its rights, of use only together with `about`."""
    given = {
        one.name: getattr(caller, one.name)
        for one in fields(caller)
        if one.name not in _OF_ONE_REQUEST
    }
    given["rights"] = _written(caller.rights)
    return seal.seal(key, _PURPOSE, about, msgspec.msgpack.encode(given))


def opened(key: bytes, text: str, about: str) -> Caller | None:
    """Return the caller; None for what was sealed otherwise, or was changed."""
    content = seal.unseal(key, _PURPOSE, about, text)
    if content is None:
        return None
    try:
        given = msgspec.msgpack.decode(content)
        known = {"rights": _read(given["rights"]), "roles": tuple(given["roles"])}
        return Caller(**{**given, **known})
    except (
        KeyError,
        TypeError,
        ValueError,
        msgspec.MsgspecError,
    ):  # of a version that wrote otherwise
        return None


def _written(rights: Rights) -> dict[str, Any]:
    walls = [
        [
            [one.type, one.letters, [_limit(limit) for limit in one.limits], one.without]
            for one in wall
        ]
        for wall in rights.walls
    ]
    return {"walls": walls, "operator": sorted(rights.operator)}


def _limit(limit: Limit) -> list[Any]:
    return [type(limit).__name__, msgspec.to_builtins(limit)]


def _read(given: dict[str, Any]) -> Rights:
    walls = tuple(tuple(_grant(*one) for one in wall) for wall in given["walls"])
    return Rights(walls, frozenset(given["operator"]))


def _grant(
    type_name: str, letters: str, limits: list[tuple[str, Any]], without: list[str]
) -> Grant:
    return Grant(
        type_name,
        letters,
        tuple(msgspec.convert(value, _LIMITS[name]) for name, value in limits),
        tuple(without),
    )
