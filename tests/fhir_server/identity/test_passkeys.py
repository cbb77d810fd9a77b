"""Passkeys as second factor: what is taken, what is refused, and who may take one away."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from fhir_server.api.app import create_app
from fhir_server.config import Settings
from fhir_server.errors import SangamError, Throttled, Unauthenticated
from fhir_server.identity import (
    login,
    passkeys,
    passwords,
    second_factor,
    sessions,
    users,
    webauthn,
)
from fhir_server.identity.login import NewPasskey
from fhir_server.identity.sessions import Visitor
from fhir_server.identity.users import User
from fhir_server.identity.webauthn import Passkey, Place
from fhir_server.main import wiring
from fhir_server.server import Server
from tests.fhir_server.identity.app import CHEAP, PASSWORD, Person, cheap
from tests.fhir_server.identity.authenticator import BE, BS, UP, UV, Authenticator, options_of

pytestmark = pytest.mark.anyio

ORIGIN = "https://sangam.example.org"
HERE = Place(ORIGIN, "sangam.example.org")
ADDRESS = "203.0.113.9"
CHALLENGE = b"c" * 32


def key(**more: Any) -> Authenticator:
    return Authenticator(**{"origin": ORIGIN, "host": HERE.host, **more})


# The protocol, without a server.


def made(one: Authenticator, **said: Any) -> Passkey:
    asked = json.loads(webauthn.creation(HERE, ("u1", "asha", "Asha"), [], CHALLENGE))
    return webauthn.registered(HERE, one.make(asked, **said), CHALLENGE)


def used(one: Authenticator, known: Passkey, **said: Any) -> int:
    asked = json.loads(webauthn.request(HERE, [known.credential], CHALLENGE))
    found, count = webauthn.asserted(HERE, one.use(asked, **said), CHALLENGE, "u1", [known])
    assert found == known
    return count


def test_a_browser_is_asked_for_a_verified_user_of_this_host() -> None:
    one = key()
    known = made(one)
    asked = json.loads(webauthn.creation(HERE, ("u1", "asha", "Asha"), [b"id"], CHALLENGE))
    using = json.loads(webauthn.request(HERE, [known.credential], CHALLENGE))
    assert (asked["rp"]["id"], using["rpId"]) == (HERE.host, HERE.host)
    assert asked["authenticatorSelection"]["userVerification"] == "required"
    assert (using["userVerification"], asked["timeout"]) == ("required", 300_000)
    assert [one["alg"] for one in asked["pubKeyCredParams"]] == [-7, -8, -35, -257]
    assert [one["id"] for one in asked["excludeCredentials"]] == ["aWQ"]
    assert (used(one, known), used(one, known)) == (1, 2)


WRONG = {
    "another site": (lambda one: one, {"origin": "https://elsewhere.example.org"}),
    "a site below": (lambda one: one, {"origin": "https://a.sangam.example.org"}),
    "another port": (lambda one: one, {"origin": f"{ORIGIN}:8443"}),
    "no TLS": (lambda one: one, {"origin": "http://sangam.example.org"}),
    "in a frame": (lambda one: one, {"cross_origin": True}),
    "below a page": (lambda one: one, {"topOrigin": ORIGIN}),
    "another question": (lambda one: one, {"challenge": b"d" * 32}),
    "another relying party": (lambda one: replace(one, host="example.org"), {}),
    "user not verified": (lambda one: replace(one, flags=UP), {}),
    "user not present": (lambda one: replace(one, flags=UV), {}),
    "backed up but not to be": (lambda one: replace(one, flags=UP | UV | BS), {}),
}
Change = Callable[[Authenticator], Authenticator]


@pytest.mark.parametrize(("change", "said"), WRONG.values(), ids=WRONG)
def test_what_is_not_said_to_us_is_not_taken(change: Change, said: dict[str, Any]) -> None:
    one = key()
    known = made(one)
    with pytest.raises(Unauthenticated):
        made(change(one), **said)
    with pytest.raises(Unauthenticated):
        used(change(one), known, **said)
    assert used(one, known) > 0


def test_an_answer_to_the_other_question_or_of_another_key_is_not_taken() -> None:
    one, other = key(), key()
    known = made(one)
    asked = {"challenge": "Y2Nj"}
    wrong = [
        lambda: made(one, type="webauthn.get"),
        lambda: used(one, known, type="webauthn.create"),
        lambda: used(other, known),
        lambda: used(replace(other, credential=one.credential), known),
        lambda: used(replace(one, flags=UP | UV | BE), known),
        lambda: webauthn.registered(HERE, one.use(asked), b"ccc"),
        lambda: webauthn.asserted(HERE, one.make(asked), b"ccc", "u1", [known]),
        lambda: made(replace(one, credential=b"x" * 1024)),
    ]
    for attempt in wrong:
        with pytest.raises(Unauthenticated):
            attempt()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"response": 1}',
        '{"response": {"clientDataJSON": "e30"}}',
        "\ud800",
        '{"rawId": "YQ", "response": {"clientDataJSON": "e30", "attestationObject": "oA"}}',
        "[" * 60_000,
    ],
    ids=lambda text: text[:40].encode(errors="replace").decode(),
)
def test_what_is_no_answer_is_refused(text: str) -> None:
    for judge in (
        lambda: webauthn.challenge_of(text),
        lambda: webauthn.registered(HERE, text, CHALLENGE),
        lambda: webauthn.asserted(HERE, text, CHALLENGE, "u1", []),
    ):
        with pytest.raises(Unauthenticated):
            judge()


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (ORIGIN, HERE.host),
        ("https://sangam.example.org:8443", HERE.host),
        ("http://localhost:8080", "localhost"),
        ("http://sangam.example.org", None),
        ("http://127.0.0.1:8080", None),
        ("https://[::1]:8443", None),
        ("https://203.0.113.9", None),
    ],
)
def test_the_relying_party_is_the_host_of_the_base_url(origin: str, host: str | None) -> None:
    found = webauthn.place(origin)
    assert (found.host if found else None, found is None or found.origin == origin) == (host, True)


# With rows, on two processes, by https.


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return cheap(settings, attempts=50)


@dataclass(frozen=True)
class Pair:
    """Two processes of one installation."""

    first: Server
    second: Server
    person: Person


@pytest.fixture
async def pair(settings: Settings, database_url: str) -> AsyncIterator[Pair]:
    base = f"{ORIGIN}/fhir"
    async with (
        wiring.running(settings, database_url, base) as first,
        wiring.running(settings, database_url, base) as second,
    ):
        hashed = await passwords.hashed(CHEAP, PASSWORD)
        async with first.database.statement() as connection:
            nurse = users.Draft("ravi", "Ravi", "Practitioner/p2", ("NURSE",), hashed)
            await users.add(connection, "u2", nurse)
            patient = users.Draft("lata", "Lata", "Patient/p3", ("PATIENT",), hashed)
            await users.add(connection, "u3", patient)
        transport = httpx.ASGITransport(app=create_app(first))
        async with httpx.AsyncClient(transport=transport, base_url=base) as http:
            yield Pair(first, second, Person(http, root=ORIGIN))


async def user_of(server: Server, id_: str = "u2") -> User:
    async with server.database.connection() as connection:
        found = await users.by_id(connection, id_)
    assert found is not None
    return found


async def add_key(server: Server, one: Authenticator, id_: str = "u2", name: str = "") -> list[str]:
    user = await user_of(server, id_)
    async with server.database.statement() as connection:
        asked = json.loads(await passkeys.to_make(connection, HERE, user))
    new = NewPasskey(one.make(asked), name, first=False)
    return (await login.by_new_passkey(server, HERE, user, new, ADDRESS))[1]


async def asking(server: Server, id_: str = "u2") -> dict[str, Any]:
    user = await user_of(server, id_)
    async with server.database.statement() as connection:
        return dict(json.loads(await passkeys.to_use(connection, HERE, user)))


async def proved(server: Server, answer: str, id_: str = "u2") -> str:
    try:
        return await login.by_passkey(server, HERE, await user_of(server, id_), answer, ADDRESS)
    except Unauthenticated:
        return "refused"


async def visitor(pair: Pair) -> Visitor | None:
    cookies = "; ".join(f"{one}={value}" for one, value in pair.person.http.cookies.items())
    return await sessions.visitor(pair.second, cookies)


async def test_staff_set_up_a_passkey_and_log_in_by_it_from_then_on(pair: Pair) -> None:
    person, one = pair.person, key()
    await person.log_in("ravi")
    before = dict(person.hidden)
    asked = options_of(person.page)
    answer = await person.send("new-passkey", credential=one.make(asked), name="Blue key\x07")
    assert answer.status_code == 200, answer.text
    codes = re.findall(r'<span class="key">([a-z0-9-]+)</span>', person.page)
    seen = await visitor(pair)
    assert seen is not None
    assert (len(codes), seen.session.methods) == (10, ("pwd", "hwk"))
    # The page by which the first factor is set up sets up no other.
    person.hidden = before
    for path in ("enrol", "new-passkey"):
        assert (await person.send(path, code="123456", credential="{}")).status_code == 401

    person.http.cookies.clear()
    page = await person.log_in("ravi")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert ("Use a passkey" in page.text, "six digits" in page.text) == (True, False)
    assert [each["id"] for each in options_of(page.text)["allowCredentials"]] == [
        json.loads(one.make(asked))["id"]
    ]
    wrong = await person.send("passkey", credential=key().use(options_of(person.page)))
    assert (wrong.status_code, await visitor(pair)) == (401, None)
    # The refusal came with a new question.
    right = await person.send("passkey", credential=one.use(options_of(person.page)))
    seen = await visitor(pair)
    assert seen is not None
    assert (right.status_code, seen.session.methods) == (303, ("pwd", "hwk"))
    assert right.headers["set-cookie"].startswith("__Host-sangam=")
    assert right.headers["set-cookie"].endswith("; Path=/; HttpOnly; SameSite=Lax; Secure")

    # What asks for a fresh login gets one by it.
    async with pair.first.database.statement() as connection:
        await connection.execute(
            "UPDATE identity_session SET authenticated_at = now() - interval '6 min'"
        )
    await person.get("manage")
    assert "again=yes" in (await person.send("manage", passkey="yes")).headers["location"]
    await person.get("login", {"again": "yes"})
    await person.send("login", name="ravi", password=PASSWORD)
    await person.send("passkey", credential=one.use(options_of(person.page)))
    seen = await visitor(pair)
    assert seen is not None
    assert seen.session.is_fresh(60)
    person.http.cookies.clear()
    await person.log_in("ravi")
    assert (await person.send("second-factor", code=codes[3])).status_code == 303


async def test_the_account_page_names_adds_and_removes_passkeys(pair: Pair) -> None:
    person, one, other = pair.person, key(), key()
    await add_key(pair.second, one, name="Blue key")
    await person.log_in("ravi")
    await person.send("passkey", credential=one.use(options_of(person.page)))
    await person.get("manage")
    await person.send("manage", passkey="yes")
    asked = options_of(person.page)
    known = await person.send("new-passkey", credential=one.make(asked), name="again")
    assert (known.status_code, "set up already" in known.text) == (400, True)
    added = await person.send(
        "new-passkey", credential=other.make(options_of(person.page)), name="<Ward>"
    )
    assert (added.status_code, added.headers["location"]) == (303, f"{ORIGIN}/auth/manage")
    await person.get("manage")
    names = re.findall(r"<strong>([^<]*)</strong><br><span class=\"quiet\">passkey", person.page)
    ids = re.findall(r'name="key" value="([^"]+)"', person.page)
    assert names == ["Blue key", "&lt;Ward&gt;"]
    assert (await person.send("manage", key=ids[0])).status_code == 200
    last = await person.send("manage", key=ids[1])
    assert (last.status_code, "your only second factor" in last.text) == (400, True)
    assert (await user_of(pair.first)).passkeys == 1
    async with pair.first.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM audit_record WHERE said::jsonb ->> 'happening' = 'users-changed'"
        )
        changes = await cursor.fetchone()
    assert changes == (3,)

    # Who needs none may go back to a password alone; the recovery codes go too.
    await add_key(pair.first, other_key := key(), "u3")
    person.http.cookies.clear()
    await person.log_in("lata")
    await person.send("passkey", credential=other_key.use(options_of(person.page)))
    await person.get("manage")
    [own] = re.findall(r'name="key" value="([^"]+)"', person.page)
    for id_, left in ((ids[1], 1), (own, 0)):  # another's key is not theirs to remove
        await person.send("manage", key=id_)
        assert (await user_of(pair.first, "u3")).passkeys == left
    patient, nurse = await user_of(pair.first, "u3"), await user_of(pair.first)
    assert (patient.has_factor, patient.codes, nurse.passkeys) == (False, 0, 1)


async def test_a_signature_counts_once_and_for_its_user_alone_on_all_processes(pair: Pair) -> None:
    one, other = key(), key()
    await add_key(pair.first, one)
    await add_key(pair.second, other, "u3")
    answer = one.use(await asking(pair.first))
    at_once = await asyncio.gather(
        *(proved(at, answer) for at in (pair.first, pair.second, pair.first, pair.second))
    )
    assert Counter(at_once) == {"hwk": 1, "refused": 3}
    theirs = await asking(pair.first, "u3")
    copied = replace(one, count=0)
    async with pair.first.database.statement() as connection:
        made = json.loads(await passkeys.to_make(connection, HERE, await user_of(pair.first)))
    refused = [
        await proved(pair.second, one.use(theirs)),  # asked of another
        await proved(pair.second, other.use(await asking(pair.first)), "u3"),
        await proved(pair.second, other.use(await asking(pair.first, "u3"))),
        await proved(pair.second, one.use(made)),  # asked for a new key
        await proved(pair.second, one.use({"challenge": "Y" * 43})),  # asked of nobody
        await proved(pair.second, copied.use(await asking(pair.first))),  # its counter went back
    ]
    assert refused == ["refused"] * 6
    late = one.use(await asking(pair.first))
    async with pair.first.database.statement() as connection:
        await connection.execute("UPDATE identity_challenge SET expires_at = now()")
    assert await proved(pair.second, late) == "refused"
    assert await proved(pair.second, one.use(await asking(pair.first))) == "hwk"

    async with pair.first.database.statement() as connection:
        made = json.loads(await passkeys.to_make(connection, HERE, await user_of(pair.first)))
    first = NewPasskey(key().make(made), "", first=True)  # there is one by now
    with pytest.raises(Unauthenticated):
        await login.by_new_passkey(pair.second, HERE, await user_of(pair.second), first, ADDRESS)
    with pytest.raises(SangamError, match="set up already"):
        await add_key(pair.second, one, "u3")
    async with pair.first.database.statement() as connection:
        await second_factor.forget(connection, "u2")
    forgotten = await user_of(pair.first)
    assert (forgotten.has_factor, forgotten.codes) == (False, 0)


async def test_refused_passkeys_count_as_failed_logins(pair: Pair) -> None:
    await add_key(pair.first, one := key())
    user = await user_of(pair.first)
    for _ in range(50):
        assert await proved(pair.first, "{}") == "refused"
    with pytest.raises(Throttled):
        await login.by_passkey(
            pair.second, HERE, user, one.use(await asking(pair.first)), "203.0.113.8"
        )
