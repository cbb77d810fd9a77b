"""SMART clients against a started server: fhirclient in a real browser, backend services.

The server is the one that `make run` starts, with its sample users.
"""

import asyncio
import json
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg
import pytest
import uvicorn
from flows.running import Running
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from fhir_server.api.app import create_app
from fhir_server.config import Settings
from fhir_server.identity import clients, passwords, samples, users
from fhir_server.identity.client_authentication import ASSERTION
from fhir_server.identity.clients import Client
from fhir_server.main import wiring
from tests.adapters.dicom.viewer.browser import Browser, browsing, program
from tests.fhir_server.identity.app import CHEAP, PASSWORD, cheap

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300), pytest.mark.xdist_group("server")]

LIBRARY: Final = Path(__file__).parent / "vendor" / "fhir-client.pure.min.js"
SCOPE: Final = "openid fhirUser offline_access patient/*.rs"
LAUNCH: Final = """<!doctype html><title>launch</title>
<script src="fhir-client.js"></script><script>
const given = new URLSearchParams(location.search);
const own = given.has("launch") ? "launch" : "launch/patient";
FHIR.oauth2.authorize({clientId: given.has("launch") ? "growth-chart" : "sangam-demo",
  redirectUri: "back", scope: `${own} openid fhirUser offline_access patient/*.rs`});
</script>"""
BACK: Final = """<!doctype html><title>app</title><script src="fhir-client.js"></script><script>
FHIR.oauth2.ready().then(async client => {
  const patient = await client.patient.read();
  const found = await client.request(`Observation?patient=${client.patient.id}`);
  const others = await client.request("Patient");
  await client.refresh();
  const again = await client.request(`Patient/${client.patient.id}`);
  window.told = {patient: patient.id, again: again.id, total: found.total, seen: others.total,
    user: client.user.fhirUser, scope: client.state.tokenResponse.scope};
}).catch(error => { window.told = {error: String(error)}; });
</script>"""
PAGES: Final = {
    "/fhir-client.js": ("text/javascript", LIBRARY.read_bytes()),
    "/launch": ("text/html", LAUNCH.encode()),
    "/back": ("text/html", BACK.encode()),
}


class App(BaseHTTPRequestHandler):
    """The pages of an app."""

    def do_GET(self) -> None:
        kind, content = PAGES.get(self.path.partition("?")[0], ("text/plain", b""))
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def serving() -> Iterator[str]:
    """Serve the app and yield its origin."""
    with ThreadingHTTPServer(("127.0.0.1", 0), App) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{found.server_address[1]}"
        finally:
            found.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def one_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if program() is None:
        pytest.skip("no Chromium is installed")
    with browsing(tmp_path_factory.mktemp("browser") / "profile") as found:
        yield found


@pytest.fixture
def browser(one_browser: Browser) -> Browser:
    one_browser.complaints.clear()
    return one_browser


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


def press(browser: Browser, selector: str) -> None:
    browser.wait(f"!!document.querySelector({json.dumps(selector)})")
    browser.see(f"document.querySelector({json.dumps(selector)}).click()")


def fill(browser: Browser, name: str, value: str) -> None:
    browser.see(f"document.querySelector('[name={name}]').value = {json.dumps(value)}")


def log_in(browser: Browser, name: str = "doctor", password: str = samples.PASSWORD) -> None:
    browser.wait("!!document.querySelector('input[name=password]')")
    shown(browser, "login")
    fill(browser, "name", name)
    fill(browser, "password", password)
    press(browser, "button.main")


def find(browser: Browser, text: str) -> None:
    """Choose the one patient that is found by a text."""
    browser.wait("!!document.querySelector('[name=q]')")
    shown(browser, "patient")
    fill(browser, "q", text)
    browser.see("document.querySelector('.find button').click()")
    browser.wait(f"location.search.includes({json.dumps(text)})")
    browser.wait("document.querySelectorAll('.choice').length === 1")
    press(browser, ".choice")


def agree(browser: Browser) -> dict[str, Any]:
    browser.wait("!!document.querySelector('[name=agree]')")
    shown(browser, "consent")
    press(browser, "[name=agree]")
    return dict(browser.wait("window.told"))


async def register(running: Running, client: Client) -> None:
    async with await psycopg.AsyncConnection.connect(running.database) as connection:
        await clients.add(connection, client, "test")


def put(base: str, name: str) -> list[str]:
    """Store two patients of the sample doctor, and one of nobody, with a result each."""
    found = [f"{name}{one}" for one in "abc"]
    with httpx.Client(base_url=base) as http:
        for id_ in found:
            doctor = {"reference": "Practitioner/demo-doctor"}
            patient = {"resourceType": "Patient", "id": id_, "name": [{"family": id_}]}
            if id_ != found[2]:
                patient |= {"generalPractitioner": [doctor]}
            result = {
                "resourceType": "Observation",
                "id": id_,
                "status": "final",
                "code": {"text": "Glucose"},
                "subject": {"reference": f"Patient/{id_}"},
                "valueString": "5.4",
            }
            for one in (patient, result):
                sent = http.put(f"{base}/{one['resourceType']}/{id_}", json=one)
                assert sent.status_code == 201
    return found


async def test_fhirclient_is_launched_alone_and_by_an_ehr(
    running: Running, browser: Browser
) -> None:
    base = str(running.said["base"])
    root = base.removesuffix("/fhir")
    async with httpx.AsyncClient() as http:
        # The sample doctor is stored at the first login.
        form = {"name": "doctor", "password": samples.PASSWORD}
        await http.post(f"{root}/auth/login", data=form, headers={"Origin": root})
    first, second, _ = put(base, "menon" + "".join(random.choices("klmnprst", k=8)))
    with serving() as app:
        chart = Client(
            "growth-chart",
            "Growth chart",
            "none",
            redirects=(f"{app}/back",),
            scope=f"launch {SCOPE}",
            launch_url=f"{app}/launch",
        )
        await register(running, chart)
        browser.open(f"{app}/launch?iss={base}")
        log_in(browser)
        find(browser, first)
        alone = agree(browser)
        browser.open(f"{root}/auth/apps")
        find(browser, second)
        shown(browser, "apps")
        press(browser, "[value=growth-chart]")
        opened = agree(browser)
        browser.open(f"{root}/auth/manage")
        browser.wait("!!document.querySelector('[name=grant]')")
        shown(browser, "manage")
        held = browser.see("document.querySelectorAll('[name=grant]').length")
        browser.open(f"{root}/viewer")
        press(browser, ".me button")
        browser.wait("location.search.includes('next=') && !!document.querySelector('[name=next]')")
        browser.open(f"{root}/auth/manage")
        browser.wait("!!document.querySelector('input[type=password]')")
    known = {"total": 1, "seen": 1, "user": "Practitioner/demo-doctor"}
    assert alone == {
        **known,
        "patient": first,
        "again": first,
        "scope": f"launch/patient {SCOPE}",
    }
    assert opened == {**known, "patient": second, "again": second, "scope": f"launch {SCOPE}"}
    assert (held, browser.complaints) == (2, [])


@asynccontextmanager
async def at_a_name(settings: Settings, database_url: str) -> AsyncIterator[str]:
    """Serve the pages at a name, as passkeys need one, with a nurse who has no factor yet."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        root = f"http://localhost:{listening.getsockname()[1]}"
        async with wiring.running(cheap(settings), database_url, f"{root}/fhir") as server:
            hashed = await passwords.hashed(CHEAP, PASSWORD)
            draft = users.Draft("ravi", "Ravi", "Practitioner/p2", ("NURSE",), hashed)
            async with server.database.statement() as connection:
                await users.add(connection, "u2", draft)
            config = uvicorn.Config(create_app(server), lifespan="off", log_config=None)
            served = uvicorn.Server(config)
            serving = asyncio.create_task(served.serve(sockets=[listening]))
            try:
                yield root
            finally:
                served.should_exit = True
                await serving


def use_passkeys(browser: Browser, root: str) -> list[str]:
    """Set up a passkey at the first login, log in by it, add another one; return their names."""
    browser.do("WebAuthn.enable")
    key = {"protocol": "ctap2", "transport": "usb", "hasUserVerification": True}
    key |= {"isUserVerified": True, "automaticPresenceSimulation": True}
    first = browser.do("WebAuthn.addVirtualAuthenticator", options=key)
    browser.open(f"{root}/auth/login")
    log_in(browser, "ravi", PASSWORD)
    making = "form[data-passkey=create] button"
    browser.wait(f"!!document.querySelector('{making}')")
    shown(browser, "enrol")
    browser.see("document.querySelector('form[data-passkey] [name=name]').value = 'Blue key'")
    press(browser, making)
    press(browser, "a.button.main")  # below the recovery codes
    browser.wait("!!document.querySelector('[name=key]')")
    press(browser, "header form button")
    log_in(browser, "ravi", PASSWORD)
    browser.wait("!!document.querySelector('form[data-passkey=get]')")
    shown(browser, "second-factor")
    press(browser, "form[data-passkey=get] button")
    browser.wait("!!document.querySelector('[name=key]')")
    press(browser, "[name=passkey]")
    browser.wait("!!document.querySelector('form[data-passkey=create]')")
    shown(browser, "new-passkey")
    press(browser, making)  # the one authenticator has its passkey already
    told = "document.querySelector('form[data-passkey] [role=alert]:not([hidden])')?.textContent"
    refused = str(browser.wait(told))
    browser.do("WebAuthn.removeVirtualAuthenticator", **first)
    browser.do("WebAuthn.addVirtualAuthenticator", options=key | {"transport": "internal"})
    press(browser, making)
    browser.wait("document.querySelectorAll('[name=key]').length === 2")
    browser.see("document.querySelector('[name=key]').scrollIntoView({block: 'center'})")
    shown(browser, "manage-passkeys")
    listed = browser.see(
        "[...document.querySelectorAll('li:has([name=key]) strong')].map(one => one.textContent)"
    )
    browser.do("WebAuthn.disable")
    return [refused, *listed]


async def test_a_browser_makes_and_uses_passkeys(
    settings: Settings, database_url: str, browser: Browser
) -> None:
    async with at_a_name(settings, database_url) as root:
        found = await asyncio.to_thread(use_passkeys, browser, root)
    assert (found, browser.complaints) == (
        ["This device or key is set up already.", "Blue key", "Passkey"],
        [],
    )


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
async def test_a_backend_service_gets_a_token_by_its_key(running: Running, algorithm: str) -> None:
    key = RSAKey.generate_key(2048) if algorithm == "RS384" else ECKey.generate_key("P-384")
    id_, base = f"service-{uuid.uuid4()}", str(running.said["base"])
    public = {**key.as_dict(private=False), "kid": "k1"}
    service = Client(
        id_,
        "Laboratory",
        "private_key_jwt",
        keys={"keys": [public]},
        grants=("client_credentials",),
        scope="system/Patient.rs",
    )
    await register(running, service)
    url = f"{base.removesuffix('/fhir')}/auth/token"
    now = int(time.time())
    claims = {"iss": id_, "sub": id_, "aud": url, "exp": now + 120, "jti": str(uuid.uuid4())}
    head = {"alg": algorithm, "kid": "k1", "typ": "JWT"}
    form = {
        "grant_type": "client_credentials",
        "scope": "system/Patient.rs",
        "client_assertion_type": ASSERTION,
        "client_assertion": jwt.encode(head, claims, key, algorithms=[algorithm]),
    }
    async with httpx.AsyncClient() as http:
        given = (await http.post(url, data=form)).json()
        bearer = {"Authorization": f"Bearer {given['access_token']}"}
        codes = [
            (await http.get(f"{base}/{one}", headers=bearer)).status_code
            for one in ("Patient", "Task")
        ]
        again = await http.post(url, data=form)
    assert (given["scope"], given["expires_in"], codes) == ("system/Patient.rs", 300, [200, 403])
    assert (again.status_code, again.json()["error"]) == (401, "invalid_client")
