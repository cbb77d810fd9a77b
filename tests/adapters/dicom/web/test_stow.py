"""STOW-RS over the application, a real database and a real disk."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pydicom
import pytest

from adapters.dicom.dataset.filemeta import file_meta
from adapters.dicom.network.scu import Instance
from adapters.dicom.simulation.computed_tomography import Study, instances
from adapters.dicom.storage.store import archive_root
from adapters.dicom.studies import transferred
from adapters.dicom.web import stow_request
from adapters.dicom.web.routes import routes
from fhir_server.api.app import create_app
from fhir_server.blobs import Blobs
from fhir_server.config import DicomSettings, Settings
from fhir_server.jobs import Job
from fhir_server.main import wiring
from fhir_server.server import Server
from tests.adapters.dicom.conftest import Archive

ROOT = "http://testserver/dicom-web"
RELATED = 'multipart/related; type="application/dicom"; boundary=XX'
JSON = 'multipart/related; type="application/dicom+json"; boundary=XX'
MR = "1.2.840.10008.5.1.4.1.1.4"
VERIFICATION = "1.2.840.10008.1.1"


@pytest.fixture
async def dicomweb(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with _client(server) as http:
        yield http


def _client(server: Server) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=create_app(server, (), routes(server)))
    return httpx.AsyncClient(transport=transport, base_url=ROOT)


def slices(count: int, seed: int = 1) -> list[Instance]:
    return list(instances(Study(seed, count, size=16)))


def part10(one: Instance) -> bytes:
    return file_meta(one.sop_class_uid, one.sop_instance_uid, one.transfer_syntax_uid, "CT1") + (
        one.data_set
    )


def related(*parts: bytes, kind: str = "application/dicom") -> bytes:
    head = f"\r\n--XX\r\nContent-Type: {kind}\r\n\r\n".encode()
    return b"".join(head + part for part in parts) + b"\r\n--XX--\r\n"


async def post(
    http: httpx.AsyncClient, body: Any, path: str = "/studies", kind: str = RELATED
) -> httpx.Response:
    return await http.post(ROOT + path, content=body, headers={"Content-Type": kind})


def uids(answer: httpx.Response, tag: str) -> list[str]:
    return [item["00081155"]["Value"][0] for item in answer.json().get(tag, {}).get("Value", [])]


def reasons(answer: httpx.Response, tag: str = "00081198") -> list[int]:
    return [item["00081197"]["Value"][0] for item in answer.json().get(tag, {}).get("Value", [])]


def rows(server: Server, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(server.database.conninfo, autocommit=True) as connection:
        return connection.execute(sql).fetchall()


def kept(server: Server, one: Instance) -> bytes:
    [(blob, offset)] = rows(
        server,
        "SELECT encode(blob, 'hex'), data_set_offset FROM dicom_instance "
        f"WHERE sop_instance_uid = '{one.sop_instance_uid}'",
    )
    return Blobs(archive_root(server.blobs.root), server.data_keys).get(blob)[offset:]


async def test_parts_are_stored_with_equal_bytes_and_named_in_the_answer(
    dicomweb: httpx.AsyncClient, server: Server
) -> None:
    sent = slices(3)
    answer = await post(dicomweb, related(*map(part10, sent)))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    assert uids(answer, "00081199") == [one.sop_instance_uid for one in sent]
    [(study, series)] = rows(
        server, "SELECT DISTINCT study_instance_uid, series_instance_uid FROM dicom_instance"
    )
    base = f"http://testserver/dicom-web/studies/{study}"
    assert answer.json()["00081190"] == {"vr": "UR", "Value": [base]}
    assert answer.json()["00081199"]["Value"][0]["00081190"]["Value"] == [
        f"{base}/series/{series}/instances/{sent[0].sop_instance_uid}"
    ]
    assert [kept(server, one) for one in sent] == [one.data_set for one in sent]
    assert rows(server, "SELECT count(*) FROM job WHERE kind = 'dicom.fold'") == [(1,)]


RECORDED = "SELECT payload - 'at' FROM job WHERE kind = 'dicom.transferred' ORDER BY id"


async def test_who_stores_to_a_study_is_recorded_once_a_request_with_the_instance(
    dicomweb: httpx.AsyncClient, server: Server
) -> None:
    [*sent, other] = [*slices(3), *slices(1, seed=2)]
    for _ in range(2):  # what is there already is stored again as far as anybody can tell
        assert (await post(dicomweb, related(*map(part10, (*sent, other))))).status_code == 200
    studies = rows(server, "SELECT study_instance_uid FROM dicom_instance GROUP BY 1")
    said = rows(server, RECORDED)
    assert [one["studies"] for (one,) in said[:2]] == [one["studies"] for (one,) in said[2:]]
    assert sorted(one["studies"] for (one,) in said[:2]) == sorted([one] for (one,) in studies)
    assert {(one["what"], one["actor"]) for (one,) in said} == {("store", "demo at 127.0.0.1")}


async def test_what_cannot_be_recorded_is_not_stored(
    dicomweb: httpx.AsyncClient, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Job(transferred.KIND, {"actor": "\0"})  # which no jsonb can hold
    monkeypatch.setattr(transferred, "job", lambda *_, **__: lost)
    answer = await post(dicomweb, related(*map(part10, slices(2))))
    assert (answer.status_code, reasons(answer)) == (503, [0xA700, 0xA700])
    assert rows(server, "SELECT 1 FROM dicom_instance UNION ALL SELECT 2 FROM dicom_study") == []


async def test_the_event_of_a_store_names_user_study_and_patient(
    dicomweb: httpx.AsyncClient, server: Server
) -> None:
    await post(dicomweb, related(*map(part10, slices(1))))
    [(said,)] = rows(server, "SELECT payload FROM job WHERE kind = 'dicom.transferred'")
    with psycopg.connect(server.database.conninfo, autocommit=True) as connection:
        connection.execute("UPDATE dicom_study SET patient = 'Patient/a'")
    await transferred.run(server, {**said, "user": "Practitioner/p"})
    found = (await dicomweb.get("http://testserver/fhir/AuditEvent")).json()
    [event] = [one["resource"] for one in found["entry"]]
    assert (event["type"]["code"], event["subtype"][0]["code"]) == ("110103", "store")
    assert (event["action"], event["agent"][2]["who"]) == ("U", {"reference": "Practitioner/p"})
    assert event["entity"][1]["what"] == {"reference": "Patient/a"}


def explicit_to_implicit(one: Instance) -> bytes:
    found = pydicom.dcmread(BytesIO(part10(one)))
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, found, implicit_vr=True, little_endian=True, force_encoding=True)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["file", "no preamble", "prefix only", "explicit", "implicit"])
async def test_preamble_and_file_meta_may_be_absent(
    dicomweb: httpx.AsyncClient, server: Server, form: str
) -> None:
    [one] = slices(1)
    whole = part10(one)
    implicit = explicit_to_implicit(one)
    start = implicit.index(b"\x08\0\x05\0") if b"\x08\0\x05\0" in implicit else 0
    start = start or implicit.index(b"\x08\0\x08\0")
    bodies = {
        "file": whole,
        "no preamble": whole[132:],
        "prefix only": whole[128:],
        "explicit": one.data_set,
        "implicit": implicit[start:],
    }
    answer = await post(dicomweb, related(bodies[form]))
    assert (answer.status_code, uids(answer, "00081199")) == (200, [one.sop_instance_uid])
    syntax = "1.2.840.10008.1.2" if form == "implicit" else one.transfer_syntax_uid
    assert rows(server, "SELECT transfer_syntax_uid FROM dicom_instance") == [(syntax,)]
    if form != "implicit":
        assert kept(server, one) == one.data_set


async def test_one_instance_comes_without_multipart(
    dicomweb: httpx.AsyncClient, server: Server
) -> None:
    [one] = slices(1)
    answer = await post(dicomweb, part10(one), kind="application/dicom")
    assert answer.status_code == 200
    assert kept(server, one) == one.data_set


async def test_mixed_parts_are_202_with_each_sequence(dicomweb: httpx.AsyncClient) -> None:
    good, wrong_class, deny = slices(3)
    storage = pydicom.uid.UID(good.sop_class_uid)
    wrong = part10(deny).replace(storage.encode(), VERIFICATION.encode().ljust(len(storage), b"\0"))
    jpip = replace(wrong_class, transfer_syntax_uid="1.2.840.10008.1.2.4.94")
    cut = part10(slices(4)[3])[:700]
    answer = await post(dicomweb, related(part10(good), wrong, part10(jpip), cut, b"", b"junk"))
    assert answer.status_code == 202
    assert uids(answer, "00081199") == [good.sop_instance_uid]
    assert uids(answer, "00081198") == [
        deny.sop_instance_uid,
        jpip.sop_instance_uid,
        slices(4)[3].sop_instance_uid,
    ]
    assert reasons(answer) == [0x0122, 0xC122, 0xC000]
    assert reasons(answer, "0008119A") == [0xA900, 0xC000]


async def test_instances_of_another_study_than_the_paths_are_a900(
    dicomweb: httpx.AsyncClient, server: Server
) -> None:
    [one] = slices(1)
    answer = await post(dicomweb, related(part10(one)), "/studies/1.2.3")
    assert (answer.status_code, reasons(answer)) == (409, [0xA900])
    assert rows(server, "SELECT FROM dicom_instance") == []
    blobs = Blobs(archive_root(server.blobs.root), server.data_keys)
    assert [path for path in blobs.root.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        (RELATED, b"", 400),
        (RELATED, b"--XX--", 400),
        (RELATED, b"no multipart at all", 400),
        ('multipart/related; type="application/dicom"', b"", 400),
        (JSON, related(b"{", kind="application/dicom+json"), 400),
        (JSON, related(b"1", kind="application/dicom+json"), 400),
        (JSON, related(b"[" * 100_000, kind="application/dicom+json"), 400),
        (JSON, related(b"x", kind="application/octet-stream"), 400),
        ('multipart/related; type="application/dicom+xml"; boundary=XX', b"", 415),
        ("application/json", b"{}", 415),
        ("", b"", 415),
    ],
    ids=range(11),
)
async def test_what_is_no_store_request_is_refused(
    dicomweb: httpx.AsyncClient, kind: str, body: bytes, status: int
) -> None:
    assert (await post(dicomweb, body, kind=kind)).status_code == status


async def test_a_body_that_breaks_off_keeps_what_was_complete(
    dicomweb: httpx.AsyncClient, server: Server
) -> None:
    first, second = slices(2)
    answer = await post(dicomweb, related(part10(first), part10(second))[:-600])
    assert answer.status_code == 400
    assert rows(server, "SELECT sop_instance_uid FROM dicom_instance") == [
        (first.sop_instance_uid,)
    ]
    blobs = Blobs(archive_root(server.blobs.root), server.data_keys)
    assert list(blobs.incoming.iterdir()) == []


async def test_two_requests_with_the_same_instances_make_one_row_each(
    dicomweb: httpx.AsyncClient, server: Server
) -> None:
    body = related(*map(part10, slices(8)))
    answers = await asyncio.gather(*(post(dicomweb, body) for _ in range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert rows(server, "SELECT count(*) FROM dicom_instance") == [(8,)]
    assert rows(server, "SELECT count(*) FROM dicom_conflict") == [(0,)]
    assert [kept(server, one) for one in slices(8)] == [one.data_set for one in slices(8)]


async def _with(settings: Settings, **web: Any) -> Settings:
    dicom = settings.dicom.model_dump() | {"web": {**settings.dicom.web.model_dump(), **web}}
    return settings.model_copy(update={"dicom": DicomSettings(**dicom)})


async def test_a_request_over_the_limit_is_413(database_url: str, settings: Settings) -> None:
    small = await _with(settings, max_request_bytes=10_000)
    body = related(*map(part10, slices(20)))

    async def chunks() -> AsyncIterator[bytes]:
        yield body

    async with (
        wiring.running(small, database_url, "http://testserver/fhir") as server,
        _client(server) as http,
    ):
        told = await post(http, body)
        streamed = await post(http, chunks())
    assert (told.status_code, streamed.status_code) == (413, 413)


async def test_a_body_that_stops_coming_is_408_and_frees_its_place(
    database_url: str, settings: Settings
) -> None:
    impatient = await _with(settings, stall_seconds=0.8, store_requests=1)
    stalled = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield related(part10(slices(1)[0]))[:400]
        stalled.set()
        await asyncio.sleep(5)

    async with (
        wiring.running(impatient, database_url, "http://testserver/fhir") as server,
        _client(server) as http,
    ):
        hanging = asyncio.create_task(post(http, chunks()))
        await stalled.wait()
        crowded = await post(http, related(part10(slices(1)[0])))
        assert (crowded.status_code, crowded.headers["retry-after"]) == (503, "30")
        assert (await hanging).status_code == 408
        assert (await post(http, related(part10(slices(1)[0])))).status_code == 200


async def test_a_full_archive_is_503_and_works_again(
    dicomweb: httpx.AsyncClient, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    body = related(*map(part10, slices(2)))
    with monkeypatch.context() as patched:
        patched.setattr("fhir_server.blobs.write_all", full)
        answer = await post(dicomweb, body)
    assert (answer.status_code, reasons(answer)) == (503, [0xA700] * 2)
    assert answer.headers["retry-after"] == "30"
    assert (await post(dicomweb, body)).status_code == 200


async def test_many_parts_and_a_large_one_leave_memory_flat(
    dicomweb: httpx.AsyncClient, server: Server
) -> None:
    [one] = slices(1)
    size = 96 << 20
    pixel_header = b"\xe0\x7f\x10\0OW\0\0" + size.to_bytes(4, "little")
    start = part10(one).partition(b"\xe0\x7f\x10\0")[0] + pixel_header
    peak = 0
    before = psutil.Process(os.getpid()).memory_info().rss

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal peak
        piece = bytes(1 << 20)
        yield b"\r\n--XX\r\nContent-Type: application/dicom\r\n\r\n" + start
        for _ in range(size // len(piece)):
            yield piece
            peak = max(peak, psutil.Process(os.getpid()).memory_info().rss)
        for _ in range(200):
            yield b"\r\n--XX\r\nContent-Type: application/dicom\r\n\r\njunk"
        yield b"\r\n--XX--\r\n"

    answer = await post(dicomweb, chunks())
    assert (answer.status_code, uids(answer, "00081199")) == (202, [one.sop_instance_uid])
    assert len(reasons(answer, "0008119A")) == 200
    assert rows(server, "SELECT size > 100000000 FROM dicom_instance") == [(True,)]
    assert peak - before < 64 << 20


def as_json(one: Instance, uri: str) -> tuple[dict[str, Any], bytes]:
    found = pydicom.dcmread(BytesIO(part10(one)))
    pixels = found.PixelData
    del found.PixelData
    tree: dict[str, Any] = found.to_json_dict()
    tree["7FE00010"] = {"vr": "OW", "BulkDataURI": uri}
    return tree, pixels


async def test_metadata_as_json_is_stored_with_its_bulk_data(
    dicomweb: httpx.AsyncClient, server: Server
) -> None:
    sent = slices(2)
    trees = [as_json(one, f"bulk/{n}") for n, one in enumerate(sent)]
    trees[0][0]["00100010"] = {"vr": "PN", "Value": [{"Alphabetic": "Müller^Jörg"}]}
    trees[1][0]["00091001"] = {"vr": "UN", "InlineBinary": base64.b64encode(b"ab").decode()}
    trees.append((trees[0][0] | {"7FE00010": {"vr": "OW", "BulkDataURI": "nowhere"}}, b""))
    head = b"--XX\r\nContent-Type: application/dicom+json\r\n\r\n"
    bulk = b"".join(
        b"\r\n--XX\r\nContent-Type: application/octet-stream\r\nContent-Location: bulk/"
        + f"{n}\r\n\r\n".encode()
        + pixels
        for n, (_, pixels) in enumerate(trees[:2])
    )
    body = head + json.dumps([tree for tree, _ in trees]).encode() + bulk + b"\r\n--XX--"
    answer = await post(dicomweb, body, kind=JSON)
    assert (answer.status_code, reasons(answer)) == (202, [0xC000])
    assert uids(answer, "00081199") == [one.sop_instance_uid for one in sent]
    blobs = Blobs(archive_root(server.blobs.root), server.data_keys)
    [first, second] = [
        pydicom.dcmread(BytesIO(blobs.get(blob)))
        for (blob,) in rows(
            server, "SELECT encode(blob, 'hex') FROM dicom_instance ORDER BY instance_number"
        )
    ]
    assert [first.PixelData, second.PixelData] == [pixels for _, pixels in trees[:2]]
    assert (str(first.PatientName), second[0x0009, 0x1001].value) == ("Müller^Jörg", b"ab")
    assert first.SpecificCharacterSet == "ISO_IR 192"
    assert list(blobs.incoming.iterdir()) == []


@pytest.mark.parametrize(
    ("what", "value", "status"),
    [
        ("storage.quota.Reserve.free", lambda *_: -1, 503),
        ("web.stow_json.MAX_PARTS", 1, 400),
    ],
    ids=["no room", "too many parts"],
)
async def test_bulk_data_is_bounded_and_what_is_refused_leaves_no_file(
    dicomweb: httpx.AsyncClient,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    value: Any,
    status: int,
) -> None:
    tree, pixels = as_json(slices(1)[0], "bulk/0")
    head = b"--XX\r\nContent-Type: application/dicom+json\r\n\r\n" + json.dumps([tree]).encode()
    part = b"\r\n--XX\r\nContent-Type: application/octet-stream\r\nContent-Location: bulk/0\r\n\r\n"
    body = head + 2 * (part + pixels) + b"\r\n--XX--"
    with monkeypatch.context() as patched:
        patched.setattr(f"adapters.dicom.{what}", value)
        assert (await post(dicomweb, body, kind=JSON)).status_code == status
    assert rows(server, "SELECT 1 FROM dicom_instance") == []
    incoming = Blobs(archive_root(server.blobs.root), server.data_keys).incoming
    await eventually_empty(incoming)


async def eventually_empty(directory: Path) -> None:
    """The files go in the thread of the request, which may be a moment behind its answer."""
    for _ in range(500):
        if not await asyncio.to_thread(os.listdir, directory):
            return
        await asyncio.sleep(0.01)
    pytest.fail("files are left")


async def test_compressed_bulk_data_becomes_a_fragment_a_part(
    dicomweb: httpx.AsyncClient, server: Server
) -> None:
    [one] = slices(1)
    tree, _ = as_json(one, "frames")
    frames = [b"\xff\xd8first\xff\xd9", b"\xff\xd8second\xff\xd9"]
    parts = b"".join(
        b"\r\n--XX\r\nContent-Type: image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50\r\n"
        b"Content-Location: frames\r\n\r\n" + frame
        for frame in frames
    )
    head = b"--XX\r\nContent-Type: application/dicom+json\r\n\r\n"
    body = head + json.dumps(tree).encode() + parts + b"\r\n--XX--"
    assert (await post(dicomweb, body, kind=JSON)).status_code == 200
    [(blob, syntax)] = rows(
        server, "SELECT encode(blob, 'hex'), transfer_syntax_uid FROM dicom_instance"
    )
    assert syntax == "1.2.840.10008.1.2.4.50"
    data = pydicom.dcmread(
        BytesIO(Blobs(archive_root(server.blobs.root), server.data_keys).get(blob))
    ).PixelData
    found = list(pydicom.encaps.generate_fragments(data))
    assert [piece.rstrip(b"\0") for piece in found if piece] == frames


async def test_metadata_without_pixels_is_stored(
    dicomweb: httpx.AsyncClient, server: Server
) -> None:
    [one] = slices(1)
    tree, pixels = as_json(one, "none")
    del tree["7FE00010"]
    inline = {"vr": "OW", "InlineBinary": base64.b64encode(pixels).decode()}
    second = {**tree, "00080018": {"vr": "UI", "Value": ["2.25.7"]}, "7FE00010": inline}
    body = related(json.dumps([tree, second]).encode(), kind="application/dicom+json")
    answer = await post(dicomweb, body, kind=JSON)
    assert (answer.status_code, reasons(answer)) == (200, [])
    assert [one.sop_instance_uid, "2.25.7"] == uids(answer, "00081199")
    blobs = Blobs(archive_root(server.blobs.root), server.data_keys)
    found = rows(server, "SELECT encode(blob, 'hex') FROM dicom_instance ORDER BY size")
    [bare, whole] = [pydicom.dcmread(BytesIO(blobs.get(blob))) for (blob,) in found]
    assert (bare.get("PixelData"), whole.PixelData) == (None, pixels)


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("", {"Accept": "application/dicom+xml"}, 406),
        ("", {"Accept": "application/dicom+json;q=0"}, 406),
        ("?accept=application/dicom%2Bjson", {"Accept": "text/html"}, 200),
        ("", {"Content-Encoding": "gzip"}, 415),
    ],
)
async def test_answer_is_dicom_json_and_the_body_plain(
    dicomweb: httpx.AsyncClient, query: str, headers: dict[str, str], status: int
) -> None:
    [one] = slices(1)
    said = {"Content-Type": "application/dicom", **headers}
    answer = await dicomweb.post(f"{ROOT}/studies{query}", content=part10(one), headers=said)
    assert answer.status_code == status


async def test_c_store_and_http_of_the_same_instances_make_one_row_each(
    dicomweb: httpx.AsyncClient, server: Server, archive: Archive
) -> None:
    assert archive.blobs.root == archive_root(server.blobs.root)
    sent = slices(6)
    body = related(*map(part10, sent))
    statuses, answer, again = await asyncio.gather(
        asyncio.to_thread(archive.send, *sent),
        post(dicomweb, body),
        asyncio.to_thread(archive.send, *reversed(sent)),
    )
    assert (statuses, answer.status_code, again) == ([0] * 6, 200, [0] * 6)
    assert rows(server, "SELECT count(*) FROM dicom_instance") == [(6,)]
    assert rows(server, "SELECT FROM dicom_conflict") == []
    assert [kept(server, one) for one in sent] == [one.data_set for one in sent]


async def test_a_quota_of_what_comes_over_http_is_503_and_can_be_raised(
    dicomweb: httpx.AsyncClient, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.dicom.storage.quota._SETTLE_SECONDS", 0.0)
    one, two = (related(part10(sent)) for sent in slices(2))
    assert (await post(dicomweb, one)).status_code == 200
    quota = "UPDATE dicom_usage SET quota = {} WHERE name = 'STOW-RS' RETURNING instances"
    assert rows(server, quota.format(1)) == [(1,)]
    answer = await post(dicomweb, two)
    assert (answer.status_code, reasons(answer)) == (503, [0xA700])
    rows(server, quota.format("NULL"))
    assert (await post(dicomweb, two)).status_code == 200


async def test_a_body_of_endless_empty_parts_is_refused(
    dicomweb: httpx.AsyncClient, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stow_request, "MOST_PARTS", 3)
    answer = await post(dicomweb, related(*[b""] * 4))
    assert (answer.status_code, rows(server, "SELECT 1 FROM dicom_instance")) == (400, [])
    assert (await post(dicomweb, related(*[b""] * 3))).status_code == 409
