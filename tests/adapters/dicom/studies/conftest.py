"""A server whose studies are folded as soon as they come."""

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any

import psycopg
import pytest

from adapters.dicom.storage.index import Index, Rules
from adapters.dicom.storage.quota import Quota, Reserve, Sessions
from adapters.dicom.storage.store import Archive, archive_root
from fhir_server.blobs import Blobs
from fhir_server.config import Settings
from fhir_server.dicom_settings import DicomSettings
from fhir_server.server import Server
from tests.adapters.dicom.studies.archive import Held


@pytest.fixture
def dicom() -> dict[str, Any]:
    """Settings of DICOM, for a test to add to."""
    return {}


@pytest.fixture
def settings(tmp_path: Any, dicom: dict[str, Any]) -> Settings:
    quick = {"quiet_seconds": 0, "unknown_patient": "hold", **dicom}
    return Settings(demo=True, data_dir=tmp_path / "data", dicom=DicomSettings(**quick))


@pytest.fixture
def archive(server: Server) -> Iterator[Held]:
    """The archive of a server without a listener: instances go where it takes them."""
    said = server.settings.dicom
    index = Index(
        server.database.conninfo,
        connections=1,
        quiet_seconds=0,
        rules=Rules(said.on_conflict, said.rejected == "refuse"),
    )
    with closing(index):
        index.open()
        blobs = Blobs(archive_root(server.blobs.root), server.data_keys)
        connect = partial(psycopg.connect, server.database.conninfo, autocommit=True)
        store = Archive(blobs, index, said.max_object_bytes, Reserve(0), Quota(Sessions(connect)))
        yield Held(server, store)
