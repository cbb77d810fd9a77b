"""The catalogue of procedures: what an order of a code is to a modality.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_C.4.10
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from adapters.dicom.worklist.order import Json
from fhir_server.errors import BadRequest

_CODE = r"^[A-Z0-9_]{1,16}$"
_AE_TITLE = r"^(?! )[ -\[\]-~]{1,16}$"
_DAY_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Procedure:
    """What an order of a code means.

    `requested` is a coding of the requested procedure where it is not the order's own,
    `protocols` are codings, `stations` the AE titles of the group that may do it;
    `minutes` None: not known.
    """

    system: str
    code: str
    modality: str
    description: str = ""
    requested: Json | None = None
    protocols: tuple[Json, ...] = ()
    stations: tuple[str, ...] = ()
    minutes: int | None = None


class _Coding(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    code: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    system: str = ""
    display: str = ""


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    """A procedure as the file has it."""

    code: Annotated[str, msgspec.Meta(min_length=1)]
    modality: Annotated[str, msgspec.Meta(pattern=_CODE)]
    system: str = ""
    description: Annotated[str, msgspec.Meta(max_length=64)] = ""
    requested: _Coding | None = None
    protocols: list[_Coding] = []
    stations: list[Annotated[str, msgspec.Meta(pattern=_AE_TITLE)]] = []
    minutes: Annotated[int, msgspec.Meta(gt=0, le=_DAY_MINUTES)] | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    procedure: list[_Written] = []


def read(text: str) -> list[Procedure]:
    """Return the procedures of a TOML file; BadRequest tells what of it is wrong."""
    try:
        found = msgspec.convert(tomllib.loads(text), _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadRequest(f"The catalogue of procedures cannot be read: {error}") from error
    made = [_procedure(one) for one in found.procedure]
    if len({(one.system, one.code) for one in made}) < len(made):
        raise BadRequest("The catalogue of procedures has a code twice")
    return made


def valid(values: Mapping[str, Any]) -> Procedure:
    """Return the procedure of these values, as the file names them; BadRequest as above."""
    try:
        return _procedure(msgspec.convert(dict(values), _Written))
    except msgspec.ValidationError as error:
        raise BadRequest(f"The procedure is wrong: {error}") from error


def _procedure(written: _Written) -> Procedure:
    return Procedure(
        written.system,
        written.code,
        written.modality,
        written.description,
        _plain(written.requested) if written.requested else None,
        tuple(map(_plain, written.protocols)),
        tuple(written.stations),
        written.minutes,
    )


def _plain(coding: _Coding) -> Json:
    made: Json = msgspec.to_builtins(coding)
    return made


def codes(request: Json) -> list[tuple[str, str]]:
    """Return system and code of each coding of an order, in their order."""
    codings = request.get("code", {}).get("coding", ())
    return [(str(one.get("system") or ""), str(one["code"])) for one in codings if one.get("code")]


def chosen(request: Json, known: Iterable[Procedure]) -> Procedure | None:
    """Return the procedure of the first coding of an order that the catalogue has."""
    by_code = {(one.system, one.code): one for one in known}
    return next((by_code[one] for one in codes(request) if one in by_code), None)
