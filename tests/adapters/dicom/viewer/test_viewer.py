"""The list of studies and the viewer, in a real browser over a real server."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any, TypeVar

import httpx
import pydicom
import pytest
import uvicorn
from anyio import to_thread
from pydicom.dataset import Dataset

from adapters.dicom.viewer import page
from adapters.dicom.web.routes import routes
from fhir_server.api.app import create_app
from fhir_server.server import Server
from tests.adapters.dicom.files import one
from tests.adapters.dicom.viewer.browser import Browser, browsing, program
from tests.adapters.dicom.viewer.storing import stow, study

pytestmark = pytest.mark.anyio
Told = TypeVar("Told")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if program() is None:
        pytest.skip("no Chromium is installed")
    with browsing(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
async def http(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(server) as base, httpx.AsyncClient(base_url=base) as client:
        yield client


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[str]:
    """Serve the pages and DICOMweb on a port of loopback."""
    app = create_app(server, (), [*routes(server), *page.routes(server)])
    sock = socket.create_server(("127.0.0.1", 0))
    serving = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
    task = asyncio.create_task(serving.serve([sock]))
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        serving.should_exit = True
        await task
        sock.close()


async def aside(function: Callable[..., Told], *values: Any) -> Told:
    """Drive the browser in a thread, while the loop serves what it asks for."""
    return await to_thread.run_sync(lambda: function(*values))


async def test_study_is_found_opened_scrolled_windowed_and_zoomed(
    http: httpx.AsyncClient, browser: Browser
) -> None:
    await stow(http, *study(slices=3, size=64))
    await stow(http, *study(slices=1, size=16, seed=2))

    def look() -> None:
        browser.complaints.clear()
        browser.open(f"{http.base_url}/viewer")
        browser.wait("document.querySelectorAll('#studies tbody tr').length === 2")
        browser.see("document.querySelector('[name=PatientName]').value = 'p1, simul'")
        browser.see("document.querySelector('[name=ModalitiesInStudy]').value = 'ct'")
        browser.see("document.querySelector('form button').click()")
        browser.wait("location.search === '?PatientName=p1%2C+simul&ModalitiesInStudy=ct'")
        browser.wait("document.querySelectorAll('#studies tbody tr').length === 1")
        browser.see("document.querySelector('#studies tbody a').click()")
        browser.wait("document.querySelector('#bottom-right')?.innerText.endsWith('1 / 3')")
        assert browser.see("document.querySelector('#bottom-left').firstChild.data") == (
            "W 400  L 40"
        )
        assert dark_and_bright(browser) == (True, True)
        middle = browser.see(
            "(({x, y, width, height}) => [x + width / 2, y + height / 2])"
            "(document.querySelector('#image').getBoundingClientRect())"
        )
        browser.wheel(middle, 120)
        browser.wait("document.querySelector('#bottom-right').innerText.endsWith('2 / 3')")
        browser.drag(middle, (middle[0] + 60, middle[1] + 30))
        browser.wait("!document.querySelector('#bottom-left').innerText.startsWith('W 400  L 40')")
        before = zoom(browser)
        browser.see("document.querySelector('[data-tool=Zoom]').click()")
        browser.drag(middle, (middle[0], middle[1] + 60))
        browser.wait(f"cornerstone.getViewport(image).scale !== {before}")
        browser.see("document.querySelector('[data-do=reset]').click()")
        browser.wait("document.querySelector('#bottom-left').innerText.startsWith('W 400  L 40')")
        assert browser.complaints == []

    await aside(look)


def dark_and_bright(browser: Browser) -> tuple[bool, bool]:
    """Tell whether the image has black and white."""
    found = browser.see(
        "(() => { const c = document.querySelector('#image canvas'); "
        "const p = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; "
        "let low = 255, high = 0; for (let i = 0; i < p.length; i += 4) "
        "{ low = Math.min(low, p[i]); high = Math.max(high, p[i]); } return [low, high]; })()"
    )
    return found[0] == 0, found[1] == 255


def zoom(browser: Browser) -> float:
    return float(browser.see("cornerstone.getViewport(image).scale"))


@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("examples_palette.dcm", "rendered"),
        ("liver_1frame.dcm", "rendered"),
        ("MR_small_jp2klossless.dcm", "wadors"),
        ("MR_small_jpeg_ls_lossless.dcm", "wadors"),
        ("MR_small_RLE.dcm", "wadors"),
        ("SC_rgb_jpeg_gdcm.dcm", "wadors"),
        ("examples_ybr_color.dcm", "wadors"),
    ],
)
async def test_image_is_shown_by_the_browser_or_by_the_server(
    http: httpx.AsyncClient, browser: Browser, name: str, by: str
) -> None:
    uid = await stow(http, one(name).path.read_bytes())

    def look() -> None:
        browser.open(f"{http.base_url}/viewer?study={uid}")
        browser.wait("document.querySelector('#image')?.dataset.index === '1'")
        shown = browser.see("cornerstone.getEnabledElement(image).image.imageId")
        assert shown.partition(":")[0] == by

    await aside(look)


async def test_image_that_cannot_be_shown_leaves_no_other_in_its_place(
    http: httpx.AsyncClient, browser: Browser
) -> None:
    first, second, third = study(slices=3, size=64)
    uid = await stow(http, first, without_pixels(second), third)

    def look() -> None:
        browser.open(f"{http.base_url}/viewer?study={uid}")
        browser.wait("document.querySelector('#image')?.dataset.index === '1'")
        browser.see("toIndex(image, 1)")
        browser.wait("document.querySelector('#message').classList.contains('bad')")
        assert browser.see("getComputedStyle(document.querySelector('canvas')).visibility") == (
            "hidden"
        )
        browser.see("toIndex(image, 2)")
        browser.wait("document.querySelector('#image').dataset.index === '3'")
        assert browser.see("document.querySelector('#message').hidden")

    await aside(look)


async def test_image_that_is_broken_leaves_the_others_of_its_series(
    http: httpx.AsyncClient, browser: Browser
) -> None:
    broken = numbered("JPEG2000-embedded-sequence-delimiter.dcm", 1)
    uid = await stow(http, broken, numbered("JPEG2000.dcm", 2))

    def look() -> None:
        browser.open(f"{http.base_url}/viewer?study={uid}")
        browser.wait("document.querySelector('#image')?.dataset.index === '2'")
        assert browser.see("document.querySelector('#message').hidden")
        assert browser.see("document.querySelector('#bottom-right').innerText.endsWith('2 / 2')")
        browser.see("toIndex(image, 0)")
        browser.wait("document.querySelector('#message').classList.contains('bad')")
        assert "JPEG 2000" in browser.see("document.querySelector('#message').innerText")

    await aside(look)


def numbered(name: str, number: int) -> bytes:
    """Return a file as the instance of this number."""
    found = pydicom.dcmread(one(name).path)
    found.InstanceNumber = number
    found.SOPInstanceUID = found.file_meta.MediaStorageSOPInstanceUID = f"2.25.{number}"
    buffer = BytesIO()
    found.save_as(buffer)
    return buffer.getvalue()


def without_pixels(whole: bytes) -> bytes:
    """Return the file with pixel data of no length."""
    found = pydicom.dcmread(BytesIO(whole))
    found.PixelData = b""
    buffer = BytesIO()
    found.save_as(buffer)
    return buffer.getvalue()


async def test_frames_have_the_windows_of_their_groups(
    http: httpx.AsyncClient, browser: Browser
) -> None:
    [whole] = study(slices=1, size=16)
    uid = await stow(http, enhanced(whole, [(10, 20), (30, 40)]))

    def look() -> None:
        browser.open(f"{http.base_url}/viewer?study={uid}")
        for index, said in enumerate(("W 20  L 10", "W 40  L 30")):
            browser.wait("document.querySelector('#image')?.dataset.index === '1'")
            browser.see(f"toIndex(image, {index})")
            browser.wait(f"document.querySelector('#image').dataset.index === '{index + 1}'")
            browser.see("ACTIONS.reset()")
            browser.wait(f"document.querySelector('#bottom-left').innerText.startsWith({said!r})")

    await aside(look)


def enhanced(whole: bytes, windows: list[tuple[int, int]]) -> bytes:
    """Return the file with a frame for each window, said in its functional groups."""
    found = pydicom.dcmread(BytesIO(whole))
    found.PixelData = found.PixelData * len(windows)
    found.NumberOfFrames = len(windows)
    del found.WindowCenter, found.WindowWidth
    groups = []
    for center, width in windows:
        window, group = Dataset(), Dataset()
        window.WindowCenter, window.WindowWidth = center, width
        group.FrameVOILUTSequence = [window]
        groups.append(group)
    found.PerFrameFunctionalGroupsSequence = groups
    buffer = BytesIO()
    found.save_as(buffer)
    return buffer.getvalue()


async def test_what_is_no_picture_is_said(http: httpx.AsyncClient, browser: Browser) -> None:
    uid = await stow(http, one("test-SR.dcm").path.read_bytes())

    def look() -> None:
        for asked, said in (
            (uid, "Open the report"),
            ("1.2.3", "There is no such study"),
            ("<b>", "This is not the UID of a study"),
        ):
            browser.open(f"{http.base_url}/viewer?study={asked}")
            browser.wait(
                f"document.querySelector('#message')?.innerText.startsWith({said!r}) || ''"
            )
        browser.open(f"{http.base_url}/viewer?PatientID=nobody", 380, 700)
        browser.wait("document.querySelector('#told')?.innerText.startsWith('No study matches')")

    await aside(look)


async def test_pages_load_nothing_from_elsewhere(http: httpx.AsyncClient) -> None:
    for path in ("/viewer", "/viewer?study=1.2.3"):
        found = await http.get(path)
        policy = found.headers["content-security-policy"]
        assert (found.status_code, "default-src 'none'" in policy) == (200, True)
        assert "//" not in found.text.replace("<!doctype html>", "")


async def test_asset_is_sent_once(http: httpx.AsyncClient) -> None:
    first = await http.get("/viewer/assets/viewer.js")
    again = await http.get(
        "/viewer/assets/viewer.js", headers={"If-None-Match": first.headers["etag"]}
    )
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")


@pytest.mark.parametrize(
    ("query", "location"),
    [
        ("requestType=STUDY&studyUID=1.2.3", "/viewer?study=1.2.3"),
        ("requestType=STUDY&accessionNumber=A%201", "/viewer?AccessionNumber=A+1"),
        ("requestType=PATIENT&patientID=P%5E1&mostRecentResults=1", "/viewer?PatientID=P%5E1"),
    ],
)
async def test_invoke_image_display(http: httpx.AsyncClient, query: str, location: str) -> None:
    found = await http.get(f"/viewer?{query}")
    assert (found.status_code, found.headers["location"]) == (302, location)
