"""Who gets in, how often one may try, and how long it lasts."""

import re
import time

import httpx
import msgspec
import pyotp
import pytest

from fhir_server.access import role_store
from fhir_server.access.role_table import shipped
from fhir_server.config import Settings
from fhir_server.errors import BadRequest
from fhir_server.identity import passwords, second_factor, sessions, signing, users, web
from fhir_server.identity.sessions import Visitor
from fhir_server.identity_settings import PasswordSettings
from fhir_server.server import Server
from tests.fhir_server.identity.app import (
    AUTH,
    BASE,
    CHEAP,
    PASSWORD,
    Person,
    asked,
    cheap,
    code_of,
    redeeming,
    settle,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return cheap(settings, attempts=3)


@pytest.fixture
async def person(server: Server, client: httpx.AsyncClient) -> Person:
    await settle(server)
    hashed = await passwords.hashed(CHEAP, PASSWORD)
    draft = users.Draft("ravi", "Ravi", "Practitioner/p2", ("NURSE",), hashed)
    async with server.database.statement() as connection:
        await users.add(connection, "u2", draft)
    return Person(client)


async def visitor(server: Server, person: Person) -> Visitor | None:
    cookies = "; ".join(f"{one}={value}" for one, value in person.http.cookies.items())
    return await sessions.visitor(server, cookies)


async def test_staff_set_up_a_second_factor_and_need_it_from_then_on(
    person: Person, server: Server
) -> None:
    await person.log_in("Ravi ")
    assert "Set up your second factor" in person.page
    seed = "".join(re.findall(r'<span class="key">([A-Z2-7 ]+)</span>', person.page)[0].split())
    assert (await person.send("enrol", code="000000")).status_code == 401
    now = pyotp.TOTP(seed).now()
    assert (await person.send("enrol", code=now)).status_code == 200
    codes = re.findall(r'<span class="key">([a-z0-9-]+)</span>', person.page)
    seen = await visitor(server, person)
    assert (len(codes), seen and seen.user.name) == (10, "ravi")
    assert seen is not None
    assert seen.session.methods == ("pwd", "otp")

    person.http.cookies.clear()
    await person.log_in("ravi")
    assert ("Is it you" in person.page, await visitor(server, person)) == (True, None)
    assert (await person.send("second-factor", code=now)).status_code == 401
    assert (await person.send("second-factor", code=codes[0].upper())).status_code == 303
    seen = await visitor(server, person)
    assert seen is not None
    assert seen.session.methods == ("pwd", "recovery")

    person.http.cookies.clear()
    await person.log_in("ravi")
    assert (await person.send("second-factor", code=codes[0])).status_code == 401


def test_codes_are_those_of_rfc_6238_and_a_step_off_at_most() -> None:
    seed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    for now, code in ((59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")):
        assert second_factor.step_of(seed, code, now) == now // 30
        assert second_factor.step_of(seed, code, now + 30) == now // 30
        assert second_factor.step_of(seed, code, now + 90) is None


async def test_after_failures_nobody_is_judged_for_a_while_known_or_not(
    person: Person, server: Server
) -> None:
    await person.get("login")
    found = {}
    for name in ("asha", "nobody"):
        answers = [await person.send("login", name=name, password="wrong") for _ in range(3)]
        found[name] = [(one.status_code, one.text.replace(name, "")) for one in answers]
        refused = await person.send("login", name=name, password=PASSWORD)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    tokens = re.compile(r'value="[^"]*"')
    assert [(code, tokens.sub("", text)) for code, text in found["asha"]] == [
        (code, tokens.sub("", text)) for code, text in found["nobody"]
    ]
    async with server.database.statement() as connection:
        await connection.execute("UPDATE identity_attempt SET blocked_until = now()")
    assert (await person.send("login", name="asha", password=PASSWORD)).status_code == 303
    async with server.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT said::jsonb -> 'about' ->> 0, coalesce((said::jsonb ->> 'outcome')::int, 0)"
            " FROM audit_record WHERE said::jsonb ->> 'happening' = 'login' ORDER BY position"
        )
        recorded = await cursor.fetchall()
    assert recorded == [("asha", 4)] * 3 + [("unknown", 4)] * 3 + [("asha", 0)]


async def test_a_session_has_a_new_secret_at_each_login_and_ends_in_time(
    person: Person, server: Server
) -> None:
    answer = await person.log_in()
    cookie = answer.headers["set-cookie"]
    assert cookie.endswith("; Path=/; HttpOnly; SameSite=Lax")
    first = person.http.cookies["sangam"]
    await person.get("login", {"again": "yes"})
    await person.send("login", name="asha", password=PASSWORD)
    assert person.http.cookies["sangam"] != first
    assert await sessions.visitor(server, f"sangam={first}") is None
    for change in ("seen_at = now() - interval '16 min'", "created_at = now() - interval '13 h'"):
        assert await visitor(server, person) is not None
        async with server.database.statement() as connection:
            await connection.execute(f"UPDATE identity_session SET {change}")
            assert await visitor(server, person) is None
            await connection.execute(
                "UPDATE identity_session SET seen_at = now(), created_at = now()"
            )


async def test_who_was_made_staff_logs_in_again_and_an_app_may_ask_for_a_login(
    person: Person, server: Server
) -> None:
    await person.log_in()
    fresh = await person.get("authorize", asked(prompt="login"))
    async with server.database.statement() as connection:
        await connection.execute(
            "UPDATE identity_session SET authenticated_at = now() - interval '2 min'"
        )
    stale = [
        await person.get("authorize", asked(**one))
        for one in ({"prompt": "login"}, {"max_age": "90"})
    ]
    old = await person.get("authorize", asked(max_age="300"))
    assert [one.status_code for one in (fresh, *stale, old)] == [200, 303, 303, 200]
    assert all("/auth/login?next=" in one.headers["location"] for one in stale)
    async with server.database.statement() as connection:
        await connection.execute("UPDATE identity_user SET demo = false WHERE name = 'asha'")
    assert await visitor(server, person) is None


async def test_whether_a_role_is_of_staff_is_said_by_the_roles_in_force(
    person: Person, server: Server
) -> None:
    async with server.database.statement() as connection:
        await connection.execute(
            "UPDATE identity_user SET demo = false, roles = '{PATIENT}', fhir_user = 'Patient/a'"
            " WHERE name = 'asha'"
        )
    await person.log_in()
    assert await visitor(server, person) is not None
    changed = msgspec.structs.replace(shipped().roles["PATIENT"], staff=True)
    async with server.database.statement() as connection:
        await role_store.change(connection, "PATIENT", changed, "test")
    role_store.forget(server.database)
    assert await visitor(server, person) is None
    await person.log_in()
    assert "Set up your second factor" in person.page


async def test_the_account_page_ends_sessions_grants_and_passwords(
    person: Person, server: Server
) -> None:
    await person.log_in()
    elsewhere = person.http.cookies["sangam"]
    person.http.cookies.clear()
    await person.log_in()
    code = await code_of(person, scope="offline_access user/Patient.rs")
    given = (await person.http.post(f"{AUTH}/token", data=redeeming(code))).json()
    await person.get("manage")
    grants = re.findall(r'name="grant" value="([\w-]+)"', person.page)
    others = re.findall(r'name="session" value="([\w-]+)"', person.page)
    assert (len(grants), len(others)) == (1, 1)
    assert (await person.send("manage", session=others[0])).status_code == 200
    assert await sessions.visitor(server, f"sangam={elsewhere}") is None
    await person.send("manage", grant=grants[0])
    form = {"grant_type": "refresh_token", "refresh_token": given["refresh_token"]}
    assert (await person.http.post(f"{AUTH}/token", data=form)).status_code == 400

    code = await code_of(person, scope="offline_access user/Patient.rs")
    form["refresh_token"] = (await person.http.post(f"{AUTH}/token", data=redeeming(code))).json()[
        "refresh_token"
    ]
    await person.get("manage")
    new = "seven lamps of the old library"
    short = await person.send("manage", password="yes", new="short")
    assert (short.status_code, "12 to 128 characters" in short.text) == (400, True)
    assert (await person.send("manage", password="yes", new=new)).status_code == 200
    assert (await person.http.post(f"{AUTH}/token", data=form)).status_code == 400
    async with server.database.statement() as connection:
        await connection.execute(
            "UPDATE identity_session SET authenticated_at = now() - interval '6 min'"
        )
    stale = await person.send("manage", password="yes", new=PASSWORD)
    assert (stale.status_code, "again=yes" in stale.headers["location"]) == (303, True)
    person.http.cookies.clear()
    assert (await person.log_in(password=PASSWORD)).status_code == 401
    assert (await person.log_in(password=new)).status_code == 303


def test_common_short_and_own_passwords_are_not_taken() -> None:
    settings = PasswordSettings()
    for bad in (
        "short",
        "password123456",
        "P@ssw0rd1234",
        "sangamsangam",
        "aaaaaaaaaaaaaa",
        "rao.asha.r01",
        "x" * 129,
    ):
        with pytest.raises(BadRequest):
            passwords.check(settings, bad, "rao.asha.r")
    passwords.check(settings, PASSWORD, "asha")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("/viewer?a=1", "http://testserver/viewer?a=1"),
        ("http://testserver/auth/apps", "http://testserver/auth/apps"),
        ("https://elsewhere.example.org/", f"{AUTH}/manage"),
        ("//elsewhere.example.org/", f"{AUTH}/manage"),
        ("http://testserver.elsewhere.example.org/", f"{AUTH}/manage"),
        ("/\\elsewhere.example.org", f"{AUTH}/manage"),
        ("javascript:alert(1)", f"{AUTH}/manage"),
        (None, f"{AUTH}/manage"),
    ],
)
async def test_a_login_leads_on_to_our_own_pages_alone(
    server: Server, given: str | None, kept: str
) -> None:
    assert web.own_path(server, given) == kept


async def test_keys_rotate_while_old_tokens_stay_good(person: Person, server: Server) -> None:
    await person.log_in()

    async def status(lead: float | None = None) -> int:
        if lead is not None:
            await signing.rotate(server, lead)
        code = await code_of(person)
        given = (await person.http.post(f"{AUTH}/token", data=redeeming(code))).json()
        tokens.append(given["access_token"])
        bearer = {"Authorization": f"Bearer {given['access_token']}"}
        return (await person.http.get(f"{BASE}/Observation", headers=bearer)).status_code

    tokens: list[str] = []
    assert [await status(), await status(600), await status(0)] == [200, 200, 200]
    headers = {"Authorization": f"Bearer {tokens[0]}"}
    assert (await person.http.get(f"{BASE}/Observation", headers=headers)).status_code == 200
    kids = {one.split(".")[0] for one in tokens}
    published = (await person.http.get(f"{AUTH}/jwks")).json()["keys"]
    assert (len(kids), len(published), time.time() > 0) == (2, 3, True)
    assert not any("d" in one for one in published)


async def test_pages_are_told_who_is_logged_in_and_can_log_out(
    person: Person, server: Server
) -> None:
    assert (await person.get("me")).json() == {}
    await person.log_in()
    answer = await person.get("me")
    me = answer.json()
    assert (set(me), me["name"]) == ({"name", "csrf"}, "Dr Asha Rao")
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"
    form, own = {"csrf": me["csrf"]}, {"Origin": "http://testserver"}
    out = [
        await person.http.post(f"{AUTH}/logout", data=form, headers=one)
        for one in ({"Origin": "https://elsewhere.example.org"}, own)
    ]
    assert [one.status_code for one in out] == [403, 303]
    assert (await person.get("me")).json() == {}


async def test_another_name_of_this_machine_leads_to_the_login_of_the_base_url(
    person: Person,
) -> None:
    answer = await person.http.get("http://localhost:8080/auth/login")
    assert answer.headers["location"].startswith(f"{AUTH}/login?next=")


async def test_pages_carry_no_script_and_a_strict_policy(person: Person) -> None:
    answer = await person.get("login")
    # A refusal of what a page loads would count as asking without a token.
    loaded = re.findall(r'<(?:link|script|img)[^>]* (?:href|src)="([^"]*)"', answer.text)
    assert loaded == ["data:,", f"{person.root}/auth/page.css"]
    assert answer.headers["content-security-policy"] == (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; "
        "frame-ancestors 'none'; form-action 'self'"
    )
    assert ("<script" in answer.text, answer.headers["x-frame-options"]) == (False, "DENY")


async def test_what_the_configuration_names_is_there(person: Person) -> None:
    url = f"{BASE}/.well-known/smart-configuration"
    answer = await person.http.get(url, headers={"Accept": "text/html"})
    found = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert found["issuer"] == BASE
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["token_endpoint_auth_signing_alg_values_supported"] == ["RS384", "ES384"]
    named = [one for name, one in found.items() if name.endswith(("_endpoint", "_uri"))]
    there = [(await person.http.get(one)).status_code for one in named]
    assert (len(named), [code for code in there if code == 404]) == (7, [])
    openid = (await person.http.get(f"{BASE}/.well-known/openid-configuration")).json()
    assert openid["id_token_signing_alg_values_supported"] == ["RS256"]
    assert {name: openid[name] for name in found if name != "capabilities"} == {
        name: one for name, one in found.items() if name != "capabilities"
    }
