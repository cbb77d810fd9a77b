"""Pictures, thumbnails and documents over HTTP."""

import re
import struct
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from adapters.dicom.pixels.voi import Window
from adapters.dicom.web.routes import routes
from fhir_server.api.app import create_app
from fhir_server.server import Server
from tests.adapters.dicom.files import one
from tests.adapters.dicom.viewer.storing import stow, study
from tests.adapters.dicom.web.conftest import Site

pytestmark = pytest.mark.anyio
CT = "CT_small.dcm"
FRAMES = "SC_rgb_rle_2frame.dcm"
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


@pytest.fixture
async def http(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=create_app(server, (), routes(server)))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as found:
        yield found


def paths(whole: bytes) -> tuple[str, str, str]:
    """Return the paths of the study, the series and the instance."""
    found = pydicom.dcmread(BytesIO(whole), specific_tags=list(UIDS), force=True)
    study, series, instance = (str(found[name].value) for name in UIDS)
    top = f"/dicom-web/studies/{study}"
    return top, f"{top}/series/{series}", f"{top}/series/{series}/instances/{instance}"


async def kept(http: httpx.AsyncClient, name: str = CT) -> tuple[str, str, str]:
    whole = one(name).path.read_bytes()
    await stow(http, whole)
    return paths(whole)


def pixels(answer: httpx.Response) -> np.ndarray[Any, Any]:
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(BytesIO(answer.content)))


async def test_window_is_that_of_the_request(http: httpx.AsyncClient) -> None:
    _, _, path = await kept(http)
    data_set = pydicom.dcmread(one(CT).path)
    values = data_set.pixel_array * float(data_set.RescaleSlope) + float(data_set.RescaleIntercept)
    for said, window in (
        ("40,400,linear", Window(40, 400)),
        ("-100.5,900,linear-exact", Window(-100.5, 900, "LINEAR_EXACT")),
        ("0,200,sigmoid", Window(0, 200, "SIGMOID")),
    ):
        answer = await http.get(f"{path}/rendered?window={said}", headers={"Accept": "image/png"})
        expected = window.unit(values) * 255
        assert np.abs(pixels(answer) - expected).max() <= 1


@pytest.mark.parametrize(
    ("query", "shape"),
    [
        ("viewport=64,64", (64, 64)),
        ("viewport=64,32", (32, 32)),
        ("viewport=300,300", (300, 300)),
        ("viewport=50,50,0,0,100,50", (25, 50)),
        ("viewport=128,128,64,64", (128, 128)),
    ],
)
async def test_viewport_is_filled_and_the_shape_kept(
    http: httpx.AsyncClient, query: str, shape: tuple[int, int]
) -> None:
    _, _, path = await kept(http)
    answer = await http.get(f"{path}/rendered?{query}&accept=image/png")
    assert pixels(answer).shape == shape


async def test_negative_width_and_height_mirror(http: httpx.AsyncClient) -> None:
    _, _, path = await kept(http)
    plain = pixels(await http.get(f"{path}/rendered?accept=image/png"))
    turned = await http.get(f"{path}/rendered?accept=image/png&viewport=128,128,0,0,-128,-128")
    assert np.array_equal(pixels(turned), plain[::-1, ::-1])


async def test_parameter_that_means_nothing_is_refused(http: httpx.AsyncClient) -> None:
    _, _, path = await kept(http)
    for query in ("window=40,400", "viewport=10,10,100,100,100,100", "quality=0"):
        assert (await http.get(f"{path}/rendered?{query}")).status_code == 400


async def test_quality_makes_jpeg_smaller_and_leaves_png(http: httpx.AsyncClient) -> None:
    _, _, path = await kept(http)

    async def size(query: str) -> int:
        return len((await http.get(f"{path}/rendered?{query}")).content)

    assert await size("quality=10") < await size("quality=95")
    png = "accept=image/png"
    assert await size(f"quality=10&{png}") == await size(f"quality=95&{png}")


@pytest.mark.parametrize(
    ("accept", "status", "kind"),
    [
        ("*/*", 200, "image/jpeg"),
        ("", 200, "image/jpeg"),
        ("image/png", 200, "image/png"),
        ("image/gif;q=0.5, image/png;q=0.4", 200, "image/gif"),
        ("image/*", 200, "image/jpeg"),
        ("text/plain, image/png", 200, "image/png"),
        ("image/webp", 406, "application/json"),
        ("application/dicom", 406, "application/json"),
    ],
)
async def test_media_types(http: httpx.AsyncClient, accept: str, status: int, kind: str) -> None:
    _, _, path = await kept(http)
    answer = await http.get(f"{path}/rendered", headers={"Accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (status, kind)


async def test_annotation_is_written_into_the_picture(http: httpx.AsyncClient) -> None:
    _, _, path = await kept(http)
    plain = pixels(await http.get(f"{path}/rendered?accept=image/png"))
    written = pixels(
        await http.get(f"{path}/rendered?accept=image/png&annotation=patient,technique")
    )
    changed = np.argwhere(plain != written)
    assert (changed[:, 0].min() < 20, changed[:, 0].max() > 100) == (True, True)


@pytest.mark.parametrize(
    ("asked", "has"),
    [("no", False), ("yes", True), ("srgb", True), ("adobergb", True), ("rommrgb", True)],
)
async def test_icc_profile_goes_out_when_asked_for(
    http: httpx.AsyncClient, asked: str, *, has: bool
) -> None:
    _, _, path = await kept(http, "examples_rgb_color.dcm")
    answer = await http.get(f"{path}/rendered?iccprofile={asked}&accept=image/png")
    assert ("icc_profile" in Image.open(BytesIO(answer.content)).info) == has


async def test_frames_are_single_or_the_parts_of_a_multipart(http: httpx.AsyncClient) -> None:
    _, _, path = await kept(http, FRAMES)
    single = await http.get(f"{path}/frames/2/rendered?accept=image/png")
    both = await http.get(f"{path}/frames/2,1/rendered?accept=image/png")
    assert single.headers["content-type"] == "image/png"
    assert parts(both)[0] == ("image/png", f"http://testserver{path}/frames/2/rendered")
    assert [one[1][-18:] for one in parts(both)] == ["/frames/2/rendered", "/frames/1/rendered"]
    assert bodies(both)[0] == single.content


def parts(answer: httpx.Response) -> list[tuple[str, str]]:
    """Return the type and the location of each part."""
    assert answer.headers["content-type"].startswith("multipart/related")
    found = re.findall(rb"Content-Type: (\S+)\r\nContent-Location: (\S+)\r\n\r\n", answer.content)
    return [(kind.decode(), place.decode()) for kind, place in found]


def bodies(answer: httpx.Response) -> list[bytes]:
    boundary = answer.headers["content-type"].partition('boundary="')[2].rstrip('"').encode()
    pieces = answer.content.split(b"--" + boundary)[1:-1]
    return [one.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for one in pieces]


@pytest.mark.parametrize(
    ("frames", "status"),
    [
        *[("3", 404), ("0", 404), ("9,8", 404)],
        *[("x", 400), ("1,", 400), ("1" * 5_000, 400), (",".join("1" * 10_001), 400)],
    ],
)
async def test_frame_that_is_none(http: httpx.AsyncClient, frames: str, status: int) -> None:
    _, _, path = await kept(http, FRAMES)
    assert (await http.get(f"{path}/frames/{frames}/rendered")).status_code == status


async def test_frames_that_are_none_are_left_out_of_a_multipart(http: httpx.AsyncClient) -> None:
    _, _, path = await kept(http, FRAMES)
    some = await http.get(f"{path}/frames/9,2,3,1/rendered")
    assert [one[1][-18:] for one in parts(some)] == ["/frames/2/rendered", "/frames/1/rendered"]


async def test_gif_has_all_frames_and_others_the_first(http: httpx.AsyncClient) -> None:
    _, _, path = await kept(http, FRAMES)
    gif = await http.get(f"{path}/rendered?accept=image/gif")
    png = await http.get(f"{path}/rendered?accept=image/png")
    first = await http.get(f"{path}/frames/1/rendered?accept=image/png")
    assert getattr(Image.open(BytesIO(gif.content)), "n_frames", 1) == 2
    assert png.content == first.content


async def test_study_and_series_are_multiparts_of_what_has_pictures(
    http: httpx.AsyncClient,
) -> None:
    files = study(slices=3, size=16)
    await stow(http, *files)
    top, series, _ = paths(files[0])
    for path in (top, series):
        answer = await http.get(f"{path}/rendered", headers={"Accept": "image/png"})
        assert [kind for kind, _ in parts(answer)] == ["image/png"] * 3
        assert [place for _, place in parts(answer)] == [
            f"http://testserver{paths(one)[2]}/rendered" for one in files
        ]


async def test_thumbnail_is_the_middle_of_the_first_series_with_pictures(
    http: httpx.AsyncClient,
) -> None:
    files = study(slices=5, size=32)
    await stow(http, *files)
    top, series, _ = paths(files[0])
    middle = paths(files[2])[2]
    expected = await http.get(f"{middle}/rendered?viewport=200,200")
    for path in (top, series, middle):
        assert (await http.get(f"{path}/thumbnail")).content == expected.content
    assert pixels(await http.get(f"{top}/thumbnail?viewport=50,50")).shape == (50, 50)


async def test_thumbnail_is_another_image_where_the_middle_has_none(
    http: httpx.AsyncClient, tmp_path: Path
) -> None:
    first, middle, last = study(slices=3, size=32)
    bare = pydicom.dcmread(BytesIO(middle))
    del bare.Rows
    bare.save_as(tmp_path / "bare")
    await stow(http, first, (tmp_path / "bare").read_bytes(), last)
    expected = await http.get(f"{paths(first)[2]}/thumbnail")
    for path in paths(first)[:2]:
        assert (await http.get(f"{path}/thumbnail")).content == expected.content


async def test_thumbnail_is_made_once(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, path = await kept(http)
    first = await http.get(f"{path}/thumbnail")
    monkeypatch.setattr("adapters.dicom.pixels.pool.Pool.render", None)
    again = await http.get(f"{path}/thumbnail")
    known = await http.get(f"{path}/thumbnail", headers={"If-None-Match": first.headers["etag"]})
    assert (again.content, known.status_code) == (first.content, 304)


async def test_known_picture_is_not_sent_again(http: httpx.AsyncClient) -> None:
    _, _, path = await kept(http)
    first = await http.get(f"{path}/rendered")
    headers = {"If-None-Match": first.headers["etag"]}
    again = await http.get(f"{path}/rendered", headers=headers)
    other = await http.get(f"{path}/rendered?quality=5", headers=headers)
    assert (again.status_code, again.content, other.status_code) == (304, b"", 200)


@pytest.mark.parametrize("kind", ["rendered", "thumbnail"])
async def test_what_has_no_picture(http: httpx.AsyncClient, kind: str) -> None:
    study, series, instance = await kept(http, "rtplan.dcm")
    found = [(await http.get(f"{path}/{kind}")).status_code for path in (study, series, instance)]
    assert found == [404, 404, 404]


async def test_what_no_decoder_reads_says_so(http: httpx.AsyncClient) -> None:
    _, _, path = await kept(http, "JPEG2000-embedded-sequence-delimiter.dcm")
    answer = await http.get(f"{path}/rendered")
    assert (answer.status_code, answer.json()) == (
        406,
        {"detail": "No installed decoder reads this JPEG 2000 Image Compression"},
    )


@pytest.mark.parametrize("state", ["hidden", "rejected"])
async def test_hidden_instances_have_no_pictures(
    http: httpx.AsyncClient, site: Site, state: str
) -> None:
    _, _, path = await kept(http)
    site.execute("UPDATE dicom_instance SET state = %s", state)
    found = [(await http.get(f"{path}/{one}")).status_code for one in ("rendered", "thumbnail")]
    assert set(found) <= {404, 410}


async def test_burned_in_names_are_told(http: httpx.AsyncClient, tmp_path: Path) -> None:
    data_set = pydicom.dcmread(one(CT).path)
    data_set.BurnedInAnnotation = "YES"
    data_set.save_as(tmp_path / "burned")
    whole = (tmp_path / "burned").read_bytes()
    await stow(http, whole)
    answer = await http.get(f"{paths(whole)[2]}/rendered")
    assert answer.headers["x-burned-in-annotation"] == "YES"


async def test_pixels_that_are_not_square_are_shown_in_their_shape(
    http: httpx.AsyncClient, tmp_path: Path
) -> None:
    data_set = pydicom.dcmread(one(CT).path)
    data_set.PixelSpacing = [2, 1]
    data_set.save_as(tmp_path / "tall")
    whole = (tmp_path / "tall").read_bytes()
    await stow(http, whole)
    answer = await http.get(f"{paths(whole)[2]}/rendered?accept=image/png")
    assert pixels(answer).shape == (256, 128)


@pytest.mark.parametrize("says_length", [True, False])
async def test_encapsulated_pdf_comes_out_as_it_was(
    http: httpx.AsyncClient, tmp_path: Path, *, says_length: bool
) -> None:
    original = b"%PDF-1.4 odd number of bytes.."[:29]
    data_set = pydicom.dcmread(one("reportsi.dcm").path)
    data_set.SOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"
    data_set.file_meta.MediaStorageSOPClassUID = data_set.SOPClassUID
    data_set.EncapsulatedDocument = original
    if says_length:
        data_set.EncapsulatedDocumentLength = len(original)
    data_set.save_as(tmp_path / "paper")
    whole = (tmp_path / "paper").read_bytes()
    await stow(http, whole)
    answer = await http.get(f"{paths(whole)[2]}/rendered", headers={"Accept": "*/*"})
    assert (answer.content, answer.headers["content-type"]) == (original, "application/pdf")
    assert answer.headers["content-disposition"].startswith("attachment")
    as_image = await http.get(f"{paths(whole)[2]}/rendered", headers={"Accept": "image/png"})
    assert as_image.status_code == 406


async def test_report_is_read_as_html_that_runs_nothing(http: httpx.AsyncClient) -> None:
    _, _, path = await kept(http, "reportsi.dcm")
    answer = await http.get(f"{path}/rendered")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].endswith("sandbox")
    assert "<h1" in answer.text


def correct(site: Site, values: str) -> None:
    site.execute(
        f"""UPDATE dicom_study SET overlay_version = overlay_version + 1, overlay =
        '{{"values": {values}, "at": "2026-01-02T03:04:05+00:00"}}'"""
    )


async def test_report_is_headed_by_whom_its_study_was_given_to(
    http: httpx.AsyncClient, site: Site
) -> None:
    _, _, path = await kept(http, "reportsi.dcm")
    before = await http.get(f"{path}/rendered")
    correct(site, '{"PatientID": ["P-9"], "PatientName": ["Right^Person"]}')
    after = await http.get(f"{path}/rendered")
    named = "<dt>Patient</dt><dd>Person Right</dd><dt>Patient ID</dt><dd>P-9</dd>"
    assert (named in before.text, named in after.text) == (False, True)
    assert (before.text.count("<dt>Patient</dt>"), after.text.count("<dt>Patient</dt>")) == (1, 1)
    assert after.headers["etag"] != before.headers["etag"]


async def test_annotation_names_whom_the_study_was_given_to(
    http: httpx.AsyncClient, site: Site, tmp_path: Path
) -> None:
    asked = "rendered?accept=image/png&annotation=patient"
    data_set = pydicom.dcmread(one(CT).path)
    data_set.PatientName, data_set.SOPInstanceUID = "Right^Person", "2.25.9"
    data_set.file_meta.MediaStorageSOPInstanceUID = "2.25.9"
    data_set.save_as(tmp_path / "right")
    right = (tmp_path / "right").read_bytes()
    await stow(http, right)
    expected = await http.get(f"{paths(right)[2]}/{asked}")
    _, _, path = await kept(http)
    before = await http.get(f"{path}/{asked}")
    correct(site, '{"PatientName": ["Right^Person"]}')
    after = await http.get(f"{path}/{asked}")
    assert (before.content == expected.content, after.content == expected.content) == (False, True)


async def test_overlays_are_drawn_where_they_are_wanted(server: Server, tmp_path: Path) -> None:
    settings = server.settings
    wanted = settings.dicom.render.model_copy(update={"overlays": True})
    dicom = settings.dicom.model_copy(update={"render": wanted})
    object.__setattr__(server, "settings", settings.model_copy(update={"dicom": dicom}))
    data_set = pydicom.dcmread(one(CT).path)
    plane(data_set, [[1, 0, 1]], (2, 3))
    data_set.save_as(tmp_path / "over")
    whole = (tmp_path / "over").read_bytes()
    transport = httpx.ASGITransport(app=create_app(server, (), routes(server)))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as http:
        await stow(http, whole)
        answer = await http.get(f"{paths(whole)[2]}/rendered?accept=image/png&window=9999,1,linear")
    assert np.argwhere(pixels(answer) == 255).tolist() == [[1, 2], [1, 4]]


def plane(data_set: Dataset, bits: list[list[int]], origin: tuple[int, int]) -> None:
    """Add an overlay whose first point is at a row and column (from 1)."""
    packed = np.packbits(np.array(bits, "uint8").ravel(), bitorder="little").tobytes()
    data_set.add_new(0x60000010, "US", len(bits))
    data_set.add_new(0x60000011, "US", len(bits[0]))
    data_set.add_new(0x60000050, "SS", list(origin))
    data_set.add_new(0x60000100, "US", 1)
    data_set.add_new(0x60003000, "OW", packed.ljust(2, b"\0"))
    assert struct.calcsize("H") == 2
