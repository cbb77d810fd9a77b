"""What an export of a tenant says of itself.

tenant.json    who it is, its settings and quotas, where it was served
database.json  the schema's revision, tables and columns, and how far its sequences are
keys.json      the data keys, and the secret where a file held that
erased         digests of what was erased, as they lie beside the database
database/      the rows of each table
blobs/         large content by its SHA-256
images/        DICOM files by their SHA-256
resources/, history/, messages.ndjson   the same once more, for people and other programs
"""

import re
from typing import Any, Final, TypeVar

import msgspec

from fhir_server.at_rest.folder import Reading
from fhir_server.at_rest.keys import ID_BYTES, KEY_BYTES
from fhir_server.errors import BadRequest
from fhir_server.tenancy.copying import Tables

FORMAT: Final = 2
TENANT: Final = "tenant.json"
DATABASE: Final = "database.json"
KEYS: Final = "keys.json"
ERASED: Final = "erased"
ROWS: Final = "database/"
BLOBS: Final = "blobs/"
IMAGES: Final = "images/"

_LARGEST: Final = 16 << 20
_FORMS: Final = re.compile(
    r"(?:resources|history)/[A-Za-z]+\.ndjson|messages\.ndjson|database/[a-z0-9_]+\.copy"
    r"|(?:blobs|images)/[0-9a-f]{64}|tenant\.json|database\.json|keys\.json|erased"
)

_T = TypeVar("_T")


class Said(msgspec.Struct):
    """Who the tenant is, and by which base URLs it is and was reached."""

    name: str
    settings: dict[str, Any]
    base: str
    max_resources: int | None = None
    max_bytes: int | None = None
    former: list[str] = []
    format: int = 1


class Secrets(msgspec.Struct):
    """Data keys by their ids in hexadecimal; the secret, where it does not lie in a table."""

    data_keys: dict[str, bytes]
    root: bytes | None = None


class Manifest(msgspec.Struct):
    """The three together, and the digests that are beside the database."""

    said: Said
    tables: Tables
    secrets: Secrets
    erased: list[bytes]


def rows_of(table: str) -> str:
    """Return the file of a table's rows."""
    return f"{ROWS}{table}.copy"


def read(folder: Reading) -> Manifest:
    """Return what a folder says; BadRequest when it is no export that can be brought back."""
    for name in folder.sums:
        if not _FORMS.fullmatch(name):
            raise BadRequest("The folder has files that no export of a tenant has")
    said = _decoded(folder, TENANT, Said)
    if said.format != FORMAT:
        raise BadRequest(
            f"The export is of format {said.format}, and {FORMAT} can be brought back: its "
            "resources can be loaded after `sangam tenant unseal`, by `sangam load`"
        )
    tables = _decoded(folder, DATABASE, Tables)
    secrets = _decoded(folder, KEYS, Secrets)
    found = {rows_of(name) for name in tables.tables}
    if found != {name for name in folder.sums if name.startswith(ROWS)}:
        raise BadRequest("The tables of the export are not those that it lists")
    if any(len(key) != KEY_BYTES for key in secrets.data_keys.values()):
        raise BadRequest("A data key of the export is none")
    _checked_ids(secrets)
    lines = folder.text(ERASED, _LARGEST).decode("ascii").split() if ERASED in folder.sums else []
    return Manifest(said, tables, secrets, [_digest(line) for line in lines])


def _decoded(folder: Reading, name: str, kind: type[_T]) -> _T:
    if name not in folder.sums:
        raise BadRequest(f"The export has no {name}")
    try:
        return msgspec.json.decode(folder.text(name, _LARGEST), type=kind)
    except msgspec.MsgspecError:
        raise BadRequest(f"{name} of the export is not as it is written here") from None


def _checked_ids(secrets: Secrets) -> None:
    for id_ in secrets.data_keys:
        if not re.fullmatch(rf"[0-9a-f]{{{2 * ID_BYTES}}}", id_):
            raise BadRequest("A data key of the export has no id")


def _digest(line: str) -> bytes:
    try:
        return bytes.fromhex(line)
    except ValueError:
        raise BadRequest("The ledger of erasures in the export is none") from None
