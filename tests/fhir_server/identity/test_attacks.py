"""What is tried against the login and the authorization server, on two processes at once."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from fhir_server.api.app import create_app
from fhir_server.config import Settings
from fhir_server.errors import Throttled, Unauthenticated
from fhir_server.identity import clients, launches, login, opaque, passwords, second_factor, users
from fhir_server.identity.client_authentication import ASSERTION
from fhir_server.identity.clients import Client
from fhir_server.identity.launches import Launched
from fhir_server.identity.routes import _PAGES
from fhir_server.main import wiring
from fhir_server.server import Server
from tests.fhir_server.identity.app import (
    APP,
    AUTH,
    BASE,
    CHEAP,
    PASSWORD,
    REDIRECT,
    Person,
    asked,
    cheap,
    code_of,
    redeeming,
    settle,
    told,
)

pytestmark = pytest.mark.anyio

OWN = {"Origin": "http://testserver"}
KEY = ECKey.generate_key("P-384")
OFFLINE = "offline_access user/Patient.rs"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return cheap(settings, attempts=8)


@dataclass(frozen=True)
class Twin:
    """Another process over the same database."""

    server: Server
    http: httpx.AsyncClient


@pytest.fixture
async def twin(server: Server, settings: Settings, database_url: str) -> AsyncIterator[Twin]:
    async with wiring.running(settings, database_url, BASE) as other:
        transport = httpx.ASGITransport(app=create_app(other))
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
            yield Twin(other, http)


@pytest.fixture
async def person(server: Server, client: httpx.AsyncClient) -> Person:
    await settle(server)
    found = Person(client)
    assert (await found.log_in()).status_code == 303
    return found


async def token(http: httpx.AsyncClient, **form: str) -> httpx.Response:
    return await http.post(f"{AUTH}/token", data=form)


async def status(http: httpx.AsyncClient, bearer: str) -> int:
    headers = {"Authorization": f"Bearer {bearer}"}
    return (await http.get(f"{BASE}/Patient", headers=headers)).status_code


async def ravi(server: Server) -> tuple[users.User, str, str]:
    """Store a nurse with a device; return them, the present code and a recovery code."""
    seed = second_factor.new_seed()
    hashed = await passwords.hashed(CHEAP, PASSWORD)
    draft = users.Draft("ravi", "Ravi", "Practitioner/p2", ("NURSE",), hashed)
    async with server.database.transaction() as connection:
        await users.add(connection, "u2", draft)
        user = await users.by_id(connection, "u2")
        assert user is not None
        await second_factor.enrol(server, connection, user, seed, 0)
        codes = await second_factor.new_codes(server, connection, "u2")
        found = await users.by_id(connection, "u2")
    assert found is not None
    return found, pyotp.TOTP(seed).now(), codes[0]


async def test_a_code_of_the_second_factor_counts_once_on_all_processes(
    server: Server, twin: Twin
) -> None:
    user, otp, recovery = await ravi(server)

    async def tried(at: Server, code: str) -> str:
        try:
            return await login.by_code(at, user, code, "203.0.113.9")
        except Unauthenticated:
            return "refused"

    at_once = [
        Counter(await asyncio.gather(*(tried(at, code) for at in (server, twin.server) * 2)))
        for code in (otp, recovery)
    ]
    assert at_once == [{"otp": 1, "refused": 3}, {"recovery": 1, "refused": 3}]


async def test_failures_of_an_account_count_on_all_processes(
    server: Server, twin: Twin, person: Person
) -> None:
    async def failing(at: Server) -> str:
        try:
            await login.by_password(at, "asha", "wrong", "203.0.113.9")
        except Throttled:
            return "waits"
        except Unauthenticated:
            return "wrong"
        return "in"

    found = Counter(await asyncio.gather(*(failing(at) for at in (server, twin.server) * 6)))
    assert found == {"wrong": 8, "waits": 4}
    with pytest.raises(Throttled):
        await login.by_password(twin.server, "asha", PASSWORD, "203.0.113.10")


async def test_who_sets_up_a_device_ends_no_delay_that_others_brought(server: Server) -> None:
    user, _, _ = await ravi(server)
    seed, where = second_factor.new_seed(), "203.0.113.9"
    _, address = login._keys(server, user.name, where)  # noqa: SLF001
    async with server.database.statement() as connection:
        await connection.execute(
            "INSERT INTO identity_attempt (key, failed, blocked_until)"
            " VALUES (%s, 90, clock_timestamp() + interval '1 hour')",
            (address,),
        )
    with pytest.raises(Throttled):
        await login.by_new_device(server, user, seed, pyotp.TOTP(seed).now(), where)
    codes = await login.by_new_device(server, user, seed, pyotp.TOTP(seed).now(), "203.0.113.8")
    assert len(codes) == second_factor.CODES


async def test_a_refresh_token_used_twice_at_once_ends_what_it_gave(
    person: Person, twin: Twin
) -> None:
    first = (await token(person.http, **redeeming(await code_of(person, scope=OFFLINE)))).json()
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    both = await asyncio.gather(token(person.http, **form), token(twin.http, **form))
    assert sorted(one.status_code for one in both) == [200, 400]
    won = next(one.json() for one in both if one.status_code == 200)
    again = {"grant_type": "refresh_token", "refresh_token": won["refresh_token"]}
    left = [
        (await token(twin.http, **again)).status_code,
        await status(twin.http, first["access_token"]),
        await status(person.http, won["access_token"]),
    ]
    assert left == [400, 401, 401]


async def test_a_code_is_redeemed_once_at_once(person: Person, twin: Twin) -> None:
    code = await code_of(person, scope=OFFLINE)
    both = await asyncio.gather(
        token(person.http, **redeeming(code)), token(twin.http, **redeeming(code))
    )
    won = [one.json()["access_token"] for one in both if one.status_code == 200]
    assert sorted(one.status_code for one in both) == [200, 400]
    assert await status(twin.http, won[0]) == 401


async def test_an_assertion_counts_once_on_all_processes(
    person: Person, server: Server, twin: Twin
) -> None:
    public = {**KEY.as_dict(private=False), "kid": "k1"}
    service = Client(
        "lab",
        "Laboratory",
        "private_key_jwt",
        keys={"keys": [public]},
        grants=("client_credentials",),
        scope="system/Patient.rs",
    )
    async with server.database.statement() as connection:
        await clients.add(connection, service, "test")
    expires = int(time.time()) + 200
    claims = {
        "iss": "lab",
        "sub": "lab",
        "aud": f"{AUTH}/token",
        "jti": "once",
        "exp": expires,
    }
    head = {"alg": "ES384", "kid": "k1", "typ": "JWT"}
    form = {
        "grant_type": "client_credentials",
        "scope": "system/Patient.rs",
        "client_assertion_type": ASSERTION,
        "client_assertion": jwt.encode(head, claims, KEY, algorithms=["ES384"]),
    }
    first = await token(person.http, **form)
    again = [await token(http, **form) for http in (twin.http, person.http)]
    assert first.status_code == 200
    assert [one.json()["error"] for one in again] == ["invalid_client"] * 2


async def test_another_client_gets_nothing_of_a_code_and_a_token(
    person: Person, server: Server
) -> None:
    secret = opaque.new()
    other = replace(
        APP, id="other", authentication="client_secret_basic", secret=opaque.hashed(secret)
    )
    public = replace(APP, id="public")
    async with server.database.statement() as connection:
        await clients.add(connection, other, "test")
        await clients.add(connection, public, "test")
    basic = httpx.BasicAuth("other", secret)
    code = await code_of(person, scope=OFFLINE)
    stolen = [
        await token(person.http, **redeeming(code, client_id="public")),
        await person.http.post(
            f"{AUTH}/token", data=redeeming(code, client_id="other"), auth=basic
        ),
    ]
    assert [one.json()["error"] for one in stolen] == ["invalid_grant"] * 2
    given = (await token(person.http, **redeeming(code))).json()
    refresh = {"grant_type": "refresh_token", "refresh_token": given["refresh_token"]}
    stolen = [
        await token(person.http, **refresh, client_id="public"),
        await person.http.post(f"{AUTH}/token", data=refresh, auth=basic),
    ]
    assert [one.json()["error"] for one in stolen] == ["invalid_grant"] * 2
    for name in ("access_token", "refresh_token"):
        asking = {"token": given[name]}
        told_of = await person.http.post(f"{AUTH}/introspect", data=asking, auth=basic)
        assert told_of.json() == {"active": False}
        nobody = {**asking, "client_id": "public"}
        assert (await person.http.post(f"{AUTH}/introspect", data=nobody)).status_code == 401
        for auth, form in ((basic, asking), (None, nobody)):
            gone = await person.http.post(f"{AUTH}/revoke", data=form, auth=auth)
            assert gone.status_code == 200
    assert await status(person.http, given["access_token"]) == 200
    assert (await token(person.http, **refresh)).status_code == 200


async def test_a_planted_session_is_not_the_one_of_who_logs_in(
    person: Person, server: Server
) -> None:
    planted = person.http.cookies["sangam"]
    user, otp, _ = await ravi(server)
    await person.get("login", {"again": "yes"})
    await person.send("login", name="ravi", password=PASSWORD)
    assert (await person.send("second-factor", code=otp)).status_code == 303
    mine = person.http.cookies["sangam"]
    person.http.cookies.clear()
    seen = []
    for one in (planted, mine):
        answer = await person.http.get(f"{AUTH}/manage", headers={"Cookie": f"sangam={one}"})
        seen.append((answer.status_code, user.display in answer.text))
    assert seen == [(303, False), (200, True)]


POSTED = sorted(name for name, method in _PAGES if method == "POST" and name != "authorize")
LOGGED_IN = ("apps", "continue", "logout", "manage")


async def test_no_form_of_another_site_is_taken(person: Person) -> None:
    await person.get("manage")
    form = {**person.hidden, "others": "yes", "name": "asha", "password": PASSWORD}
    foreign = (
        {"Origin": "https://elsewhere.example.org"},
        {"Origin": "http://testserver.elsewhere.example.org"},
        {"Origin": "null"},
        {},
        {**OWN, "Sec-Fetch-Site": "same-site"},
    )
    found = {
        name: {
            (await person.http.post(f"{AUTH}/{name}", data=form, headers=one)).status_code
            for one in foreign
        }
        for name in POSTED
    }
    assert found == {name: {403} for name in POSTED}
    del form["csrf"]
    for name in LOGGED_IN:
        answer = await person.http.post(f"{AUTH}/{name}", data=form, headers=OWN)
        assert (name, answer.status_code) == (name, 403)
    assert (await person.get("manage")).status_code == 200


async def test_no_page_shows_in_a_frame_of_another(person: Person, server: Server) -> None:
    person.http.cookies.clear()
    out = [await person.get(one) for one in ("login", "nothing", "authorize", "token")]
    await person.log_in()
    logged_in = [await person.get(one) for one in ("manage", "apps", "nothing")]
    consent = await person.get("authorize", asked())
    codes = [one.status_code for one in (*out, *logged_in, consent)]
    assert codes == [200, 404, 400, 405, 200, 200, 404, 200]
    for one in (*out, *logged_in, consent):
        assert one.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in one.headers["content-security-policy"]
        assert "default-src 'none'" in one.headers["content-security-policy"]


async def test_what_was_sent_does_not_lead_elsewhere_nor_into_a_header(
    person: Person, server: Server
) -> None:
    text = "s1\r\nSet-Cookie: sangam=planted\r\nLocation: https://elsewhere.example.org"
    answer = await person.get("authorize", asked(state=text, scope="none/of.these"))
    assert (told(answer)["state"], "set-cookie" in answer.headers) == (text, False)
    async with server.database.statement() as connection:
        handle = await launches.add(connection, Launched({"patient": "none"}, "u1", "app"), 300)
    for launch in (handle, "https://elsewhere.example.org/", "//elsewhere.example.org"):
        asking = asked(scope="launch user/Patient.rs", launch=launch)
        assert (await person.get("authorize", asking)).headers["location"].startswith(REDIRECT)
    person.http.cookies.clear()
    for onward in ("//elsewhere.example.org/", "https://testserver@elsewhere.example.org/", text):
        await person.get("login")
        answer = await person.send("login", name="asha", password=PASSWORD, next=onward)
        assert answer.headers["location"] == f"{AUTH}/manage"
        person.http.cookies.clear()


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "whatever"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"max_age": "9" * 20}, "invalid_request"),
        ({"max_age": "90", "prompt": "none"}, "login_required"),
        ({"max_age": "90"}, None),
        ({"prompt": "login consent"}, None),
        ({"prompt": "select_account"}, None),
    ],
    ids=str,
)
async def test_an_app_that_asks_for_a_login_gets_one(
    person: Person, server: Server, more: Mapping[str, str], error: str | None
) -> None:
    async with server.database.statement() as connection:
        await connection.execute(
            "UPDATE identity_session SET authenticated_at = now() - interval '2 min'"
        )
    answer = await person.get("authorize", asked(**more))
    if error is not None:
        assert told(answer)["error"] == error
        return
    where = urlsplit(answer.headers["location"])
    assert (where.path, parse_qs(where.query)["again"]) == ("/auth/login", ["yes"])


async def test_an_app_for_which_nobody_is_asked_may_have_the_user_asked(
    person: Person, server: Server
) -> None:
    async with server.database.statement() as connection:
        await clients.add(connection, replace(APP, id="agreed", preapproved=True), "test")
    at_once = await person.get("authorize", asked(client_id="agreed"))
    again = await person.get("authorize", asked(client_id="agreed", prompt="consent"))
    assert ("code" in told(at_once), again.status_code) == (True, 200)


async def test_logging_out_everywhere_ends_what_apps_hold_by_those_logins(
    person: Person, twin: Twin
) -> None:
    scope = "online_access user/Patient.rs"
    given = (await token(person.http, **redeeming(await code_of(person, scope=scope)))).json()
    assert await status(twin.http, given["access_token"]) == 200
    former = person.http.cookies["sangam"]
    person.http.cookies.clear()
    await person.log_in()
    await person.get("manage")
    assert (await person.send("manage", others="yes")).status_code == 200
    await asyncio.sleep(0.02)
    refresh = {"grant_type": "refresh_token", "refresh_token": given["refresh_token"]}
    left = [
        (await twin.http.get(f"{AUTH}/manage", headers={"Cookie": f"sangam={former}"})).status_code,
        await status(twin.http, given["access_token"]),
        (await token(twin.http, **refresh)).status_code,
    ]
    assert left == [303, 401, 400]


async def test_a_page_by_which_a_phone_is_set_up_counts_in_its_session_and_for_its_password(
    person: Person, server: Server
) -> None:
    async def setting_up() -> str:
        await person.get("manage")
        await person.send("manage", device="yes")
        found = re.findall(r'<span class="key">([A-Z2-7 ]+)</span>', person.page)
        return pyotp.TOTP("".join(found[0].split())).now()

    code = await setting_up()
    kept = dict(person.hidden)
    cookie = person.http.cookies["sangam"]
    person.http.cookies.clear()
    assert (await person.send("enrol", code=code)).status_code == 401
    await person.log_in()
    person.hidden = kept
    assert (await person.send("enrol", code=code)).status_code == 401

    hashed = await passwords.hashed(CHEAP, "another long and quiet evening")
    person.http.cookies.clear()
    person.http.cookies.set("sangam", cookie)
    code = await setting_up()
    async with server.database.statement() as connection:
        await users.set_password(connection, "u1", hashed)
    assert (await person.send("enrol", code=code)).status_code == 401
    code = await setting_up()
    assert (await person.send("enrol", code=code)).status_code == 200
    async with server.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM identity_session WHERE user_id = 'u1' AND ended_at IS NULL"
        )
        assert await cursor.fetchone() == (1,)


async def test_a_launch_counts_once_at_once(person: Person, server: Server, twin: Twin) -> None:
    async with server.database.statement() as connection:
        handle = await launches.add(connection, Launched({"intent": "look"}, "u1", "app"), 300)
    asking = asked(scope="launch user/Patient.rs", launch=handle)
    cookie = {"Cookie": f"sangam={person.http.cookies['sangam']}"}
    both = await asyncio.gather(
        *(
            http.get(f"{AUTH}/authorize", params=asking, headers=cookie)
            for http in (person.http, twin.http)
        )
    )
    assert sorted(one.status_code for one in both) == [200, 303]
    refused = next(one for one in both if one.status_code == 303)
    assert told(refused)["error"] == "invalid_request"


async def test_who_is_blocked_is_out_on_all_processes(
    person: Person, server: Server, twin: Twin
) -> None:
    given = (await token(person.http, **redeeming(await code_of(person, scope=OFFLINE)))).json()
    cookie = {"Cookie": f"sangam={person.http.cookies['sangam']}"}

    async def seen() -> list[int]:
        return [
            await status(person.http, given["access_token"]),
            await status(twin.http, given["access_token"]),
            (await twin.http.get(f"{AUTH}/manage", headers=cookie)).status_code,
        ]

    assert await seen() == [200, 200, 200]
    async with server.database.statement() as connection:
        await users.set_active(connection, "u1", active=False)
    await asyncio.sleep(0.02)
    assert await seen() == [401, 401, 303]
    refresh = {"grant_type": "refresh_token", "refresh_token": given["refresh_token"]}
    assert (await token(twin.http, **refresh)).status_code == 400
