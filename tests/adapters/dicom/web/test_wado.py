"""WADO-RS instances: as they are stored, or in Explicit VR Little Endian."""

from collections.abc import Sequence
from io import BytesIO

import pydicom
import pytest
from pydicom.filereader import read_partial

from adapters.dicom.dataset.head import head
from adapters.dicom.network.scu import Instance
from adapters.dicom.simulation.computed_tomography import Study, instances
from adapters.dicom.web import access
from fhir_server.caller import Caller
from fhir_server.config import Settings
from fhir_server.dicom_settings import DicomSettings, DicomWebSettings
from tests.adapters.dicom import files
from tests.adapters.dicom.storage.test_store import REFUSED
from tests.adapters.dicom.web.conftest import ROOT, STORED, Site, parts

EXPLICIT = "1.2.840.10008.1.2.1"
PART = 'multipart/related; type="application/dicom"'


def slices(count: int, seed: int = 1) -> list[Instance]:
    return list(instances(Study(seed, count, size=16)))


def sent(name: str) -> Instance:
    return instance_of(files.one(name))


def instance_of(file: files.DicomFile) -> Instance:
    return Instance(
        file.sop_class_uid, file.sop_instance_uid, file.transfer_syntax_uid, file.data_set
    )


def data_sets(found: Sequence[tuple[dict[str, str], bytes]]) -> list[tuple[str, str, bytes]]:
    """Return instance, transfer syntax and data set of each part."""
    made = []
    for named, content in found:
        media, _, syntax = named["Content-Type"].partition("; transfer-syntax=")
        assert media == "application/dicom"
        assert content[:132] == bytes(128) + b"DICM"
        meta = read_partial(BytesIO(content), stop_when=lambda *_: True).file_meta
        assert meta.TransferSyntaxUID == syntax
        start = 132 + 12 + meta.FileMetaInformationGroupLength
        made.append((meta.MediaStorageSOPInstanceUID, syntax, content[start:]))
    return made


def place(data_set: bytes, syntax: str) -> str:
    found = head(data_set, len(data_set), syntax)
    study, series = found.study_instance_uid, found.series_instance_uid
    return f"/studies/{study}/series/{series}/instances/{found.sop_instance_uid}"


async def test_every_file_of_pydicom_comes_back_as_it_was_sent(site: Site) -> None:
    wanted = {
        one.sop_instance_uid: (one.transfer_syntax_uid, one.data_set)
        for one in reversed(files.all_files())
        if one.name not in REFUSED
    }
    archive = site.start()
    for one in files.all_files():
        if one.name not in REFUSED and wanted[one.sop_instance_uid][1] == one.data_set:
            archive.send(instance_of(one))
    rows = archive.rows("SELECT DISTINCT study_instance_uid FROM dicom_instance")
    found = {}
    for (study,) in rows:
        response = await site.get(f"/studies/{study}", STORED)
        assert response.status_code == 200
        assert int(response.headers["content-length"]) == len(response.content)
        found.update({uid: rest for uid, *rest in map(list, data_sets(parts(response)))})
    assert {uid: tuple(rest) for uid, rest in found.items()} == wanted
    assert len(wanted) > 100


async def test_parts_come_in_order_with_their_location(site: Site) -> None:
    made = slices(3)
    site.keep(*reversed(made))
    path = place(made[0].data_set, EXPLICIT)
    study, series = path.split("/")[2], path.split("/")[4]
    for at in (f"/studies/{study}", f"/studies/{study}/series/{series}"):
        found = parts(await site.get(at, PART))
        assert [uid for uid, _, _ in data_sets(found)] == [one.sop_instance_uid for one in made]
        assert [named["Content-Location"] for named, _ in found] == [
            f"{ROOT}/studies/{study}/series/{series}/instances/{one.sop_instance_uid}"
            for one in made
        ]
        assert [body for _, _, body in data_sets(found)] == [one.data_set for one in made]


# What is asked of an instance in RLE, by header: its status, and its type and transfer syntax.
RLE, LOSSLESS = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.70"
MATRIX = [
    (None, 200, True, RLE),
    ("*/*", 200, True, RLE),
    (PART, 200, True, EXPLICIT),
    ("multipart/related; type=application/dicom", 200, True, EXPLICIT),
    (f"{PART}; transfer-syntax=*", 200, True, RLE),
    (f"{PART}; transfer-syntax={RLE}", 200, True, RLE),
    (f"{PART}; transfer-syntax=1.2.840.10008.1.2", 200, True, "1.2.840.10008.1.2"),
    (f"{PART}; transfer-syntax={LOSSLESS}", 406, True, ""),
    (f"{PART}; transfer-syntax={LOSSLESS}, {PART}; transfer-syntax=*;q=0.5", 200, True, RLE),
    (f"{PART}; transfer-syntax=*;q=0.2, {PART};q=0.5", 200, True, EXPLICIT),
    ('multipart/related; type="*/*"', 200, True, RLE),
    ("multipart/related", 200, True, RLE),
    ("application/dicom", 200, False, EXPLICIT),
    ("application/dicom; transfer-syntax=*", 200, False, RLE),
    ("application/dicom;q=0.5, */*;q=0.1", 200, False, EXPLICIT),
    ("text/html, application/dicom;q=0.5", 200, False, EXPLICIT),
    ("text/html", 406, False, ""),
    ("application/dicom;q=0", 406, False, ""),
    ("application/dicom+json", 406, False, ""),
    ('multipart/related; type="image/jpeg"', 406, False, ""),
]


async def test_the_accept_matrix_of_an_instance(site: Site) -> None:
    one = sent("MR_small_RLE.dcm")
    site.keep(one)
    path = place(one.data_set, RLE)
    for accept, status, multipart, syntax in MATRIX:
        response = await site.get(path, accept)
        assert (accept, response.status_code) == (accept, status), response.text
        if status != 200:
            continue
        kind = response.headers["content-type"]
        assert (accept, kind.startswith("multipart/related")) == (accept, multipart)
        heads = [named["Content-Type"] for named, _ in parts(response)] if multipart else [kind]
        assert (accept, heads) == (accept, [f"application/dicom; transfer-syntax={syntax}"])
    beaten = await site.http.get(
        path, params={"accept": "application/dicom"}, headers={"Accept": "text/html"}
    )
    assert beaten.headers["content-type"] == f"application/dicom; transfer-syntax={EXPLICIT}"


@pytest.mark.parametrize(
    "name",
    ["MR_small_RLE.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm"],
)
async def test_instances_are_had_in_explicit_little_endian_with_equal_pixels(
    site: Site, name: str
) -> None:
    one = sent(name)
    site.keep(one)
    where = pydicom.dcmread(files.one(name).path)
    path = f"/studies/{where.StudyInstanceUID}/series/{where.SeriesInstanceUID}"
    [(_, content)] = parts(await site.get(path, PART))
    found = pydicom.dcmread(BytesIO(content))
    assert found.file_meta.TransferSyntaxUID == EXPLICIT
    assert (found.pixel_array == where.pixel_array).all()
    assert (found.PatientName, found.Rows) == (where.PatientName, where.Rows)


class TestUndecodable:
    @pytest.fixture(params=[True, False], ids=["as stored", "refused"])
    def settings(self, settings: Settings, request: pytest.FixtureRequest) -> Settings:
        web = DicomWebSettings(serve_stored_if_undecodable=request.param)
        return settings.model_copy(update={"dicom": DicomSettings(web=web)})

    async def test_what_cannot_be_decoded_goes_as_stored_or_is_refused(
        self, site: Site, settings: Settings
    ) -> None:
        syntax = "1.2.840.10008.1.2.4.102"
        [plain] = slices(1)
        one = Instance(plain.sop_class_uid, plain.sop_instance_uid, syntax, plain.data_set)
        site.keep(one)
        path = place(plain.data_set, EXPLICIT)
        for accept in (PART, "application/dicom"):
            response = await site.get(path, accept)
            stored = settings.dicom.web.serve_stored_if_undecodable
            assert response.status_code == (200 if stored else 406)
            if stored:
                assert "warning" not in response.headers
                assert f"transfer-syntax={syntax}".encode() in (
                    response.content + response.headers["content-type"].encode()
                )


async def test_entity_tags_heads_and_what_is_not_there(site: Site) -> None:
    [one] = slices(1)
    site.keep(one)
    path = place(one.data_set, EXPLICIT)
    first = await site.get(path, "application/dicom")
    assert first.headers["cache-control"] == "private, no-cache"
    assert first.headers["x-content-type-options"] == "nosniff"
    again = await site.get(path, "application/dicom", If_None_Match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    other = await site.get(path, "*/*", If_None_Match='"other"')
    assert other.status_code == 200
    only = await site.http.head(path, headers={"Accept": "application/dicom"})
    assert only.headers["content-length"] == str(len(first.content))
    assert only.headers["etag"] == first.headers["etag"]
    for below in ("/metadata", "/frames/1", "/frames"):
        without = await site.http.head(path + below)
        assert (without.status_code, without.headers.get("content-length")) == (200, None)
    assert (await site.get("/studies/9.9")).status_code == 404
    assert (await site.get("/studies/..%2F..%2Fetc")).status_code in {400, 404}
    assert (await site.get("/studies/1.x")).status_code == 400
    assert (await site.get("/nothing")).status_code == 404
    assert (await site.http.put(path)).status_code == 405
    assert (await site.get("/workitems")).status_code == 501


async def test_rejected_is_not_found_and_removed_is_gone(site: Site) -> None:
    first, second = slices(2)
    site.keep(first, second)
    path, other = (place(one.data_set, EXPLICIT) for one in (first, second))
    assert (await site.http.delete(path)).status_code == 204
    for at in (path, f"{path}/metadata", f"{path}/frames/1", f"{path}/bulkdata/00100020"):
        assert (await site.get(at)).status_code == 404
    assert (await site.get(other)).status_code == 200
    site.execute(
        "INSERT INTO dicom_tombstone (sop_instance_uid, study_instance_uid, series_instance_uid,"
        " data_set_hash, code, reason, rejected_by, approved_by)"
        " SELECT sop_instance_uid, study_instance_uid, series_instance_uid, data_set_hash,"
        " '113001', '', 'a', 'b' FROM dicom_instance WHERE sop_instance_uid = %s",
        first.sop_instance_uid,
    )
    site.execute("DELETE FROM dicom_instance WHERE sop_instance_uid = %s", first.sop_instance_uid)
    assert (await site.get(path)).status_code == 410


async def test_every_path_asks_who_may_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    [one] = slices(1)
    site.keep(one)
    path = place(one.data_set, EXPLICIT)
    series, study = path.rpartition("/instances")[0], "/".join(path.split("/")[:3])
    paths = [
        *(f"{at}{what}" for at in (study, series, path) for what in ("", "/metadata")),
        *(f"{at}{what}" for at in (study, series, path) for what in ("/rendered", "/thumbnail")),
        *(f"{path}/frames{what}" for what in ("", "/1", "/1/rendered", "/1/thumbnail")),
        f"{path}/bulkdata/00100020",
        f"{study}/series",
        f"{study}/instances",
        f"{series}/instances",
    ]
    assert [(await site.get(at)).status_code for at in paths] == [200] * len(paths)

    monkeypatch.setattr(access, "caller", lambda _: Caller("nobody", "dicomweb"))
    assert {at: (await site.get(at)).status_code for at in paths} == dict.fromkeys(paths, 404)
    assert (await site.http.delete(study)).status_code == 404
    for at in ("/studies", "/series", "/instances"):
        assert (await site.get(at)).json() == []


async def test_pages_of_other_sites_cannot_reject(site: Site) -> None:
    [one] = slices(1)
    site.keep(one)
    path = place(one.data_set, EXPLICIT)
    refused = await site.http.delete(path, headers={"Origin": "https://elsewhere.example"})
    assert refused.status_code == 403
    assert (await site.get(path)).status_code == 200


async def test_corrections_go_out_with_what_was_there_before(site: Site) -> None:
    [one] = slices(1)
    site.keep(one)
    path = place(one.data_set, EXPLICIT)
    before = await site.get(path, "application/dicom; transfer-syntax=*")
    original = str(pydicom.dcmread(BytesIO(before.content)).PatientID)
    site.execute(
        """UPDATE dicom_study SET overlay_version = 1, overlay =
        '{"values": {"PatientID": ["P-9"]}, "at": "2026-01-02T03:04:05+00:00"}'"""
    )
    for accept in ("application/dicom; transfer-syntax=*", "application/dicom"):
        after = await site.get(path, accept)
        found = pydicom.dcmread(BytesIO(after.content))
        [item] = found.OriginalAttributesSequence
        assert (found.PatientID, found.PixelData) == ("P-9", one.data_set[-16 * 16 * 2 :])
        assert item.ModifiedAttributesSequence[0].PatientID == original
        assert after.headers["etag"] != before.headers["etag"]
    [shown] = (await site.get(f"{path}/metadata")).json()
    assert shown["00100020"] == {"vr": "LO", "Value": ["P-9"]}
    [item] = shown["04000561"]["Value"]
    assert item["04000550"]["Value"] == [{"00100020": {"vr": "LO", "Value": [original]}}]
    assert item["04000565"] == {"vr": "CS", "Value": ["CORRECT"]}


async def test_wado_uri_gives_the_instance_or_its_picture(site: Site) -> None:
    [one] = slices(1)
    site.keep(one)
    path = place(one.data_set, EXPLICIT)
    _, _, study, _, series, _, instance = path.split("/")
    asked = {"requestType": "WADO", "studyUID": study, "seriesUID": series, "objectUID": instance}
    whole = await site.http.get("/wado", params={**asked, "contentType": "application/dicom"})
    assert whole.headers["content-type"] == f"application/dicom; transfer-syntax={EXPLICIT}"
    assert whole.content.endswith(one.data_set)
    picture = await site.http.get("/wado", params=asked, follow_redirects=True)
    assert picture.headers["content-type"] == "image/jpeg"
    given = {**asked, "contentType": "image/png", "windowCenter": "40", "windowWidth": "400"}
    shaped = await site.http.get("/wado", params={**given, "rows": "8", "columns": "8"})
    assert shaped.headers["location"] == (
        f"{ROOT}{path}/rendered?accept=image%2Fpng&window=40%2C400%2Clinear&viewport=8%2C8"
    )
    assert (await site.http.get(shaped.headers["location"])).status_code == 200
    refused = (
        {**asked, "requestType": "X"},
        {**asked, "seriesUID": ""},
        {**asked, "seriesUID": "x"},
        {**asked, "anonymize": "yes"},
        {**asked, "frameNumber": "../1"},
    )
    for wrong in refused:
        assert (await site.http.get("/wado", params=wrong)).status_code == 400


async def test_a_study_that_is_read_is_recorded_once_for_each_client(site: Site) -> None:
    [one], [other] = slices(1, seed=1), slices(1, seed=2)
    site.keep(one, other)
    paths = [place(each.data_set, EXPLICIT) for each in (one, other)]
    for path in (*paths, paths[0]):
        assert (await site.get(path)).status_code == 200
        assert (await site.get(f"{path}/metadata")).status_code == 200
    assert (await site.http.delete(paths[0])).status_code == 204
    found = (await site.get("http://testserver/fhir/AuditEvent?_sort=_lastUpdated")).json()
    told = [
        (each["subtype"][0]["code"], each["entity"][0]["what"]["identifier"]["value"])
        for each in (entry["resource"] for entry in found["entry"])
    ]
    first, second = (f"urn:oid:{path.split('/')[2]}" for path in paths)
    assert told == [("retrieve", first), ("retrieve", second), ("reject", first)]


async def test_instances_that_are_left_out_are_told(site: Site) -> None:
    first, second = slices(2)
    syntax = "1.2.840.10008.1.2.4.102"
    site.keep(
        first, Instance(second.sop_class_uid, second.sop_instance_uid, syntax, second.data_set)
    )
    study = place(first.data_set, EXPLICIT).split("/")[2]
    response = await site.get(f"/studies/{study}", f"{PART}; transfer-syntax={syntax}")
    assert [uid for uid, _, _ in data_sets(parts(response))] == [second.sop_instance_uid]
    assert response.headers["warning"] == f"299 {ROOT}: 1 instances are not acceptable"
