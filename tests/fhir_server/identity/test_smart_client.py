"""A public SMART client in a real browser: fhirclient, standalone and opened by an EHR."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import uvicorn
from anyio import to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from fhir_server.api.app import create_app
from fhir_server.config import Settings
from fhir_server.main import wiring
from tests.adapters.dicom.viewer.browser import Browser, browsing, program
from tests.fhir_server.identity.app import APP, PASSWORD, cheap, settle

pytestmark = pytest.mark.anyio
Told = TypeVar("Told")

LIBRARY = Path(__file__).parent / "vendor" / "fhir-client.pure.min.js"
LAUNCH = """<!doctype html><title>launch</title><script src="fhir-client.js"></script><script>
const given = new URLSearchParams(location.search);
const own = given.has("launch") ? "launch" : "launch/patient";
FHIR.oauth2.authorize({clientId: "app", redirectUri: "back",
  scope: `${own} openid fhirUser offline_access patient/*.rs`});
</script>"""
BACK = """<!doctype html><title>app</title><script src="fhir-client.js"></script><script>
FHIR.oauth2.ready().then(async client => {
  const patient = await client.patient.read();
  const found = await client.request(`Observation?patient=${client.patient.id}`);
  await client.refresh();
  const again = await client.request(`Patient/${client.patient.id}`);
  window.told = {patient: patient.id, again: again.id, total: found.total,
    user: client.user.fhirUser, scope: client.state.tokenResponse.scope};
}).catch(error => { window.told = {error: String(error)}; });
</script>"""


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    if program() is None:
        pytest.skip("no Chromium is installed")
    with browsing(tmp_path / "profile") as found:
        yield found


@asynccontextmanager
async def serving(app: Any, listening: socket.socket) -> AsyncIterator[None]:
    config = uvicorn.Config(app, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve([listening]))
    try:
        yield
    finally:
        server.should_exit = True
        await task
        listening.close()


def listening() -> tuple[socket.socket, str]:
    found = socket.create_server(("127.0.0.1", 0))
    return found, f"http://127.0.0.1:{found.getsockname()[1]}"


async def aside(function: Callable[[], Told]) -> Told:
    """Drive the browser in a thread, while the loop serves what it asks for."""
    return await to_thread.run_sync(function)


async def page(request: Request) -> Response:
    if request.url.path == "/fhir-client.js":
        return FileResponse(LIBRARY, media_type="text/javascript")
    return HTMLResponse(LAUNCH if request.url.path == "/launch" else BACK)


def shown(browser: Browser, name: str) -> None:
    """Keep pictures for a person, where they are asked for."""
    folder = os.environ.get("SANGAM_PICTURES")
    for width in (1440, 400) if folder else ():
        browser.do(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        browser.picture(Path(folder or "") / f"{name}-{width}.png")


def log_in(browser: Browser) -> None:
    browser.wait("!!document.querySelector('[name=password]')")
    shown(browser, "login")
    browser.see("document.querySelector('[name=name]').value = 'asha'")
    browser.see(f"document.querySelector('[name=password]').value = {json.dumps(PASSWORD)}")
    browser.see("document.querySelector('button.main').click()")


def choose(browser: Browser) -> None:
    """Choose the patient of two that is looked for by name."""
    browser.wait("document.querySelectorAll('.choice').length === 2")
    shown(browser, "patient")
    browser.see("document.querySelector('[name=q]').value = 'menon'")
    browser.see("document.querySelector('.find button').click()")
    browser.wait("document.querySelectorAll('.choice').length === 1")
    browser.see("document.querySelector('.choice').click()")


def agree(browser: Browser) -> dict[str, Any]:
    browser.wait("!!document.querySelector('[name=agree]')")
    shown(browser, "consent")
    browser.see("document.querySelector('[name=agree]').click()")
    return dict(browser.wait("window.told"))


async def test_fhirclient_is_launched_alone_and_by_an_ehr(
    database_url: str, settings: Settings, browser: Browser
) -> None:
    ours, origin = listening()
    theirs, app = listening()
    client = replace(APP, redirects=(f"{app}/back",), origins=(app,), launch_url=f"{app}/launch")
    pages = Starlette(routes=[Route("/{name}", page)])
    async with wiring.running(cheap(settings), database_url, f"{origin}/fhir") as server:
        await settle(server, client)
        async with serving(create_app(server), ours), serving(pages, theirs):
            await put(origin)

            def alone() -> dict[str, Any]:
                browser.complaints.clear()
                browser.open(f"{app}/launch?iss={origin}/fhir")
                log_in(browser)
                choose(browser)
                return agree(browser)

            def by_ehr() -> dict[str, Any]:
                browser.open(f"{origin}/auth/apps")
                browser.wait("document.querySelectorAll('.choice').length === 2")
                browser.see("document.querySelector('[value=p1]').click()")
                browser.wait("!!document.querySelector('[name=app]')")
                shown(browser, "apps")
                browser.see("document.querySelector('[name=app]').click()")
                return agree(browser)

            def account() -> int:
                browser.open(f"{origin}/auth/manage")
                browser.wait("!!document.querySelector('[name=grant]')")
                shown(browser, "manage")
                return int(browser.see("document.querySelectorAll('[name=grant]').length"))

            first = await aside(alone)
            second = await aside(by_ehr)
            held = await aside(account)
    scope = "openid fhirUser offline_access patient/*.rs"
    known = {"total": 1, "user": "Practitioner/p1", "scope": f"launch/patient {scope}"}
    assert first == {"patient": "p2", "again": "p2", **known}
    assert second == {**known, "patient": "p1", "again": "p1", "scope": f"launch {scope}"}
    assert (held, browser.complaints) == (2, [])


async def put(origin: str) -> None:
    """Store two patients with a result each, as the administrator of the demonstration."""
    async with httpx.AsyncClient(base_url=f"{origin}/fhir") as http:
        for id_, family in (("p1", "Rao"), ("p2", "Menon")):
            patient = {
                "resourceType": "Patient",
                "id": id_,
                "name": [{"family": family, "given": ["Asha"]}],
                "birthDate": "1980-04-02",
                "gender": "female",
                "identifier": [{"system": "urn:mrn", "value": f"MRN-{id_}"}],
            }
            result = {
                "resourceType": "Observation",
                "id": f"o-{id_}",
                "status": "final",
                "code": {"text": "Glucose"},
                "subject": {"reference": f"Patient/{id_}"},
                "valueString": "5.4",
            }
            for one in (patient, result):
                url = f"/{one['resourceType']}/{one['id']}"
                assert (await http.put(url, json=one)).status_code == 201
