"""Frames, metadata and bulk data over HTTP."""

import gzip

import pydicom
import pytest
from pydicom.encaps import generate_frames

from adapters.dicom.network.scu import Instance
from adapters.dicom.simulation.computed_tomography import Study, instances
from adapters.dicom.web import kept
from adapters.dicom.web.frames import packed
from adapters.dicom.web.layout import Encapsulated
from tests.adapters.dicom import files
from tests.adapters.dicom.web.conftest import ROOT, Site, parts
from tests.adapters.dicom.web.test_layout import head, item, pixels
from tests.adapters.dicom.web.test_model import element
from tests.adapters.dicom.web.test_wado import instance_of, place

EXPLICIT = "1.2.840.10008.1.2.1"
RLE = "1.2.840.10008.1.2.5"
OCTETS = "application/octet-stream"


def part(media: str, syntax: str = "") -> str:
    given = f"; transfer-syntax={syntax}" if syntax else ""
    return f'multipart/related; type="{media}"{given}'


async def kept_file(site: Site, name: str) -> tuple[str, pydicom.Dataset]:
    file = files.one(name)
    site.keep(instance_of(file))
    found = pydicom.dcmread(file.path)
    path = f"/studies/{found.StudyInstanceUID}/series/{found.SeriesInstanceUID}"
    return f"{path}/instances/{found.SOPInstanceUID}", found


# What is asked of a frame in RLE: status, media type, transfer syntax.
MATRIX = [
    (None, 200, "image/dicom-rle", RLE),
    ("*/*", 200, "image/dicom-rle", RLE),
    (part("*/*"), 200, "image/dicom-rle", RLE),
    (part("image/*"), 200, "image/dicom-rle", RLE),
    (part("image/dicom-rle"), 200, "image/dicom-rle", RLE),
    (part("image/dicom-rle", "*"), 200, "image/dicom-rle", RLE),
    ("image/dicom-rle", 200, "image/dicom-rle", RLE),
    (part(OCTETS), 200, OCTETS, EXPLICIT),
    (part(OCTETS, EXPLICIT), 200, OCTETS, EXPLICIT),
    (part(OCTETS, "*"), 200, OCTETS, RLE),
    (part(OCTETS, RLE), 200, OCTETS, RLE),
    (OCTETS, 200, OCTETS, EXPLICIT),
    (f"{part('image/jpeg')}, {part(OCTETS)};q=0.5", 200, OCTETS, EXPLICIT),
    (part("image/jpeg"), 406, "", ""),
    (part("image/dicom-rle", "1.2.840.10008.1.2.4.70"), 406, "", ""),
    ("text/plain", 406, "", ""),
]


async def test_the_accept_matrix_of_frames(site: Site) -> None:
    path, stored = await kept_file(site, "MR_small_RLE.dcm")
    [coded] = generate_frames(stored.PixelData, number_of_frames=1)
    plain = pydicom.dcmread(files.one("MR_small.dcm").path).PixelData
    for accept, status, media, syntax in MATRIX:
        response = await site.get(f"{path}/frames/1", accept)
        assert (accept, response.status_code) == (accept, status), response.text
        if status == 406:
            continue
        content = coded if syntax == RLE else plain
        kind = response.headers["content-type"]
        if kind.startswith("multipart"):
            [(named, body)] = parts(response)
            assert named["Content-Location"] == f"{ROOT}{path}/frames/1"
            kind = named["Content-Type"]
            assert response.headers["content-type"].startswith(part(media))
        else:
            body = response.content
        assert (accept, kind) == (accept, f"{media}; transfer-syntax={syntax}")
        assert (accept, body) == (accept, content)


def with_pixels(syntax: str, *elements: bytes) -> Instance:
    """An instance whose identity is 1.9, 1.9.1 and 1.9.9, with these elements behind it."""
    order = ">" if syntax == "1.2.840.10008.1.2.2" else "<"
    identity = (
        element(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.7\0", order)
        + element(0x00080018, "UI", b"1.9.9\0", order)
        + element(0x0020000D, "UI", b"1.9 ", order)
        + element(0x0020000E, "UI", b"1.9.1\0", order)
    )
    data_set = identity + b"".join(elements)
    return Instance("1.2.840.10008.5.1.4.1.1.7", "1.9.9", syntax, data_set)


PATH = "/studies/1.9/series/1.9.1/instances/1.9.9"


async def test_frames_come_in_the_order_asked(site: Site) -> None:
    frames = [b"\xff\xd8first.", b"\xff\xd8second", b"\xff\xd8third."]
    baseline = "1.2.840.10008.1.2.4.50"
    archive = site.keep(with_pixels(baseline, head(1, 1, 8, "3 "), pixels(*frames)))
    jpeg = part("image/jpeg", "*")
    found = parts(await site.get(f"{PATH}/frames/3,1,3", jpeg))
    assert [body for _, body in found] == [frames[2], frames[0], frames[2]]
    assert archive.rows("SELECT count(*) FROM dicom_frames") == [(1,)]
    found = parts(await site.get(f"{PATH}/frames", jpeg))
    assert [body for _, body in found] == frames
    for numbers, status in (("0", 404), ("9999", 404), ("x", 400), ("1,,2", 400), ("-1", 400)):
        assert (await site.get(f"{PATH}/frames/{numbers}", jpeg)).status_code == status
    some = await site.get(f"{PATH}/frames/1,9999", jpeg)
    assert [body for _, body in parts(some)] == frames[:1]
    assert some.headers["warning"] == f"299 {ROOT}: Some of the frames do not exist"
    # One part alone holds one frame.
    several = await site.get(f"{PATH}/frames/1,2", "image/jpeg; transfer-syntax=*")
    assert several.status_code == 406


async def test_the_place_of_frames_is_read_from_the_database_if_it_is_known(site: Site) -> None:
    syntax = "1.2.840.10008.1.2.4.50"
    fragments = pixels(b"\xff\xd81234", b"56", b"78")
    archive = site.keep(with_pixels(syntax, head(1, 1, 8, "2 "), fragments))
    assert (await site.get(f"{PATH}/frames/1")).status_code == 404
    [(blob,)] = archive.rows("SELECT encode(blob, 'hex') FROM dicom_instance")
    site.execute(
        "INSERT INTO dicom_frames (blob, spans) VALUES (decode(%s, 'hex'), %s)",
        blob,
        packed(Encapsulated((((0, 4),), ((4, 8), (8, 10))))),
    )
    stored = archive.stored("1.9.9")
    assert stored is not None
    response = await site.get(f"{PATH}/frames/2", "image/jpeg; transfer-syntax=*")
    assert response.content == stored[4:10]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("MR_small.dcm", "MR_small.dcm"),
        ("MR_small_bigendian.dcm", "MR_small.dcm"),
        ("MR_small_implicit.dcm", "MR_small.dcm"),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
        ("image_dfl.dcm", "image_dfl.dcm"),
    ],
)
async def test_frames_are_had_uncompressed_in_little_endian(
    site: Site, name: str, plain: str
) -> None:
    path, _ = await kept_file(site, name)
    response = await site.get(f"{path}/frames/1", OCTETS)
    expected = pydicom.dcmread(files.one(plain).path)
    raw = expected.pixel_array.astype(expected.pixel_array.dtype.newbyteorder("<")).tobytes()
    assert response.content == raw


async def test_one_bit_frames_are_shifted_to_the_first_bit(site: Site) -> None:
    # Three frames of five pixels: 10101 01010 11111, the first pixel in the lowest bit.
    bits = (0b0_11111_01010_10101).to_bytes(2, "little")
    site.keep(with_pixels(EXPLICIT, head(1, 5, 1, "3 "), element(0x7FE00010, "OB", bits)))
    found = parts(await site.get(f"{PATH}/frames", part(OCTETS)))
    assert [body for _, body in found] == [bytes([0b10101]), bytes([0b01010]), bytes([0b11111])]


async def test_an_instance_without_pixels_has_no_frames(site: Site) -> None:
    path, _ = await kept_file(site, "rtplan.dcm")
    assert (await site.get(f"{path}/frames/1")).status_code == 404


async def test_frames_have_entity_tags(site: Site) -> None:
    path, _ = await kept_file(site, "MR_small.dcm")
    first = await site.get(f"{path}/frames/1", OCTETS)
    again = await site.get(f"{path}/frames/1", OCTETS, If_None_Match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    assert (await site.http.head(f"{path}/frames/1", headers={"Accept": OCTETS})).content == b""


def with_document(pad: bytes = b"") -> Instance:
    """An instance with a document of odd length, a long value in an item and one of words."""
    inner = element(0x00091002, "OB", bytes(range(256)) * 8)
    data_set = (
        element(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.104.1\0")
        + element(0x00080018, "UI", b"1.9.9\0")
        + element(0x00081140, "SQ", item(inner))
        + element(0x00091002, "OW", bytes(range(256)) * 8)
        + element(0x0020000D, "UI", b"1.9 ")
        + element(0x0020000E, "UI", b"1.9.1\0")
        + element(0x00420011, "OB", b"%PDF-1.4" + b"x" * 1999 + b"\0")
        + element(0x00420012, "LO", b"application/pdf\0"[:-1] + b" ")
    )
    return Instance("1.2.840.10008.5.1.4.1.1.104.1", "1.9.9", EXPLICIT, data_set)


async def test_bulk_data_is_what_metadata_link_to(site: Site) -> None:
    site.keep(with_document())
    path = "/studies/1.9/series/1.9.1/instances/1.9.9"
    [shown] = (await site.get(f"{path}/metadata")).json()
    nested = shown["00081140"]["Value"][0]["00091002"]["BulkDataURI"]
    assert nested == f"{ROOT}{path}/bulkdata/00081140/1/00091002"
    assert (await site.get(nested)).content == bytes(range(256)) * 8
    document = await site.get(shown["00420011"]["BulkDataURI"])
    assert document.content == b"%PDF-1.4" + b"x" * 1999
    assert document.headers["content-type"] == "application/pdf"
    assert document.headers["content-disposition"] == "attachment"
    [(named, body)] = parts(await site.get(f"{path}/bulkdata/00420011", part(OCTETS)))
    assert (named["Content-Type"], body) == (OCTETS, document.content)
    for at, status in (
        ("00091003", 404),
        ("00081140", 404),
        ("00081140/2/00091002", 404),
        ("00081140/0/00091002", 400),
        ("00081140/1", 400),
        ("../00091002", 404),
        ("PatientName", 400),
    ):
        assert (at, (await site.get(f"{path}/bulkdata/{at}")).status_code) == (at, status)
    assert (await site.get(f"{path}/bulkdata/00420011", "text/html")).status_code == 406


RANGES = [
    ("bytes=0-0", 206, b"\0", "bytes 0-0/2048"),
    ("bytes=5-", 206, (bytes(range(256)) * 8)[5:], "bytes 5-2047/2048"),
    ("bytes=-2", 206, b"\xfe\xff", "bytes 2046-2047/2048"),
    ("bytes=2000-9999", 206, (bytes(range(256)) * 8)[2000:], "bytes 2000-2047/2048"),
    ("bytes=2048-", 416, b"", "bytes */2048"),
    ("bytes=-0", 416, b"", "bytes */2048"),
    ("bytes=1-0", 200, bytes(range(256)) * 8, None),
    ("bytes=0-1,4-5", 200, bytes(range(256)) * 8, None),
    ("lines=0-1", 200, bytes(range(256)) * 8, None),
]


async def test_ranges_of_bulk_data(site: Site) -> None:
    site.keep(with_document())
    path = "/studies/1.9/series/1.9.1/instances/1.9.9/bulkdata/00091002"
    for asked, status, content, told in RANGES:
        response = await site.get(path, Range=asked)
        assert (asked, response.status_code) == (asked, status)
        assert (asked, response.content) == (asked, content)
        assert response.headers.get("content-range") == told
    whole = await site.get(path, Range="bytes=0-0", If_Range='"other"')
    assert whole.status_code == 200


async def test_words_of_big_endian_are_turned(site: Site) -> None:
    words = element(0x00091002, "OW", bytes(range(256)) * 8, ">")
    eight_bits = head(1, 3, 8, "2 ", ">") + element(0x7FE00010, "OW", b"badcfe", ">")
    big = "1.2.840.10008.1.2.2"
    site.keep(with_pixels(big, words, eight_bits))
    response = await site.get(f"{PATH}/bulkdata/00091002", Range="bytes=1-4")
    assert response.content == bytes([0, 3, 2, 5])
    found = parts(await site.get(f"{PATH}/frames", part(OCTETS)))
    assert [body for _, body in found] == [b"abc", b"def"]


async def test_metadata_of_a_series_at_rest_are_kept_until_it_changes(site: Site) -> None:
    made = list(instances(Study(1, 3, size=16)))
    archive = site.keep(*made[:2])
    path = place(made[0].data_set, EXPLICIT).rpartition("/instances")[0]
    first = (await site.get(f"{path}/metadata")).json()
    assert archive.rows("SELECT count(*) FROM dicom_metadata") == [(0,)]
    site.execute("UPDATE dicom_instance SET received_at = received_at - interval '2 minutes'")
    assert (await site.get(f"{path}/metadata")).json() == first
    [(packed,)] = archive.rows("SELECT body FROM dicom_metadata")
    again = await site.get(f"{path}/metadata", Accept_Encoding="gzip")
    assert again.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed) == again.content
    study = path.rpartition("/series")[0]
    plain = await site.get(f"{study}/metadata", Accept_Encoding="identity")
    assert (plain.json(), plain.headers.get("content-encoding")) == (first, None)
    unchanged = await site.get(f"{path}/metadata", If_None_Match=again.headers["etag"])
    assert unchanged.status_code == 304
    site.keep(made[2])
    more = await site.get(f"{path}/metadata")
    assert [one["00080018"]["Value"][0] for one in more.json()] == [
        one.sop_instance_uid for one in made
    ]
    assert kept.AT_REST.total_seconds() == 60


async def test_metadata_are_not_kept_while_the_archive_is_away(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    [one] = instances(Study(1, 1, size=16))
    archive = site.keep(one)
    site.execute("UPDATE dicom_instance SET received_at = received_at - interval '2 minutes'")
    path = place(one.data_set, EXPLICIT).rpartition("/instances")[0]
    with monkeypatch.context() as away:
        away.setattr("fhir_server.blobs.Blobs.open", _away)
        [known] = (await site.get(f"{path}/metadata")).json()
    assert ("00080018" in known, "00100010" in known) == (True, False)
    assert archive.rows("SELECT count(*) FROM dicom_metadata") == [(0,)]
    [shown] = (await site.get(f"{path}/metadata")).json()
    assert "00100010" in shown
    assert archive.rows("SELECT count(*) FROM dicom_metadata") == [(1,)]


def _away(*_: object) -> None:
    raise OSError("The object store does not answer")


async def test_metadata_are_json_or_xml(site: Site) -> None:
    [one] = instances(Study(1, 1, size=16))
    site.keep(one)
    path = place(one.data_set, EXPLICIT)
    for accept in (None, "*/*", "application/dicom+json", "application/json"):
        response = await site.get(f"{path}/metadata", accept)
        expected = "application/json" if accept == "application/json" else "application/dicom+json"
        assert response.headers["content-type"] == expected
    [shown] = response.json()
    assert shown["7FE00010"] == {"vr": "OW", "BulkDataURI": f"{ROOT}{path}/frames"}
    assert shown["00083002"] == {"vr": "UI", "Value": [EXPLICIT]}
    [(named, body)] = parts(await site.get(f"{path}/metadata", part("application/dicom+xml")))
    assert named["Content-Type"] == "application/dicom+xml"
    assert b'keyword="SOPInstanceUID"><Value number="1">' + one.sop_instance_uid.encode() in body
    assert (await site.get(f"{path}/metadata", "application/dicom")).status_code == 406


async def test_a_file_that_is_damaged_shows_what_the_index_knows(site: Site) -> None:
    [one] = instances(Study(1, 1, size=16))
    archive = site.keep(one)
    path = place(one.data_set, EXPLICIT)
    [(blob,)] = archive.rows("SELECT encode(blob, 'hex') FROM dicom_instance")
    archive.blobs.path(blob).unlink()
    [shown] = (await site.get(f"{path}/metadata")).json()
    assert shown["00080018"]["Value"] == [one.sop_instance_uid]


async def test_capabilities_tell_of_every_path(site: Site) -> None:
    assert (await site.http.options("/capabilities")).status_code == 200
    told = (await site.get("/capabilities", "application/json")).json()
    offered = {one["path"]: one["methods"] for one in told["resources"]}
    assert offered["/studies"] == ["GET", "HEAD", "POST"]
    assert "DELETE" in offered["/studies/{study}"]
    wadl = await site.http.options("/studies")
    assert wadl.headers["content-type"] == "application/vnd.sun.wadl+xml"
    assert wadl.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert (
        b'<resource path="/studies/{study}"><param name="study" style="template"/>' in wadl.content
    )
    assert (await site.get("/")).status_code == 200
