"""A package comes whole or not at all, and goes without taking what is not its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from conftest import BASE, EMPTY
from flows import packing
from flows.packing import system
from psycopg_pool import ConnectionPool

from fhir_server.api.app import create_app
from fhir_server.caller import trusted
from fhir_server.config import Settings
from fhir_server.errors import (
    BadRequest,
    Conflict,
    NotFound,
    SangamError,
    TooLarge,
    Unprocessable,
)
from fhir_server.main import wiring
from fhir_server.packages import record
from fhir_server.packages.bring import Done, Wish
from fhir_server.packages.install import install
from fhir_server.packages.remove import Away, remove
from fhir_server.server import Server

Json = dict[str, Any]
WHO = trusted("asha", "cli")
PLAIN = Wish()
PATIENT: Json = {"resourceType": "Patient", "id": "one"}
OBSERVATION: Json = {
    "resourceType": "Observation",
    "id": "one",
    "status": "final",
    "code": {"text": "x"},
    "subject": {"reference": "Patient/one"},
}
BROKEN: Json = {"resourceType": "Patient", "id": "two", "birthDate": "yesterday"}
PARAMETER: Json = {
    "resourceType": "SearchParameter",
    "id": "shoe",
    "url": "http://a.example/fhir/SearchParameter/shoe",
    "name": "shoe",
    "status": "active",
    "description": "Size of shoes",
    "code": "shoe",
    "base": ["Patient"],
    "type": "string",
    "expression": "Patient.extension('http://a.example/shoe').value",
}


@pytest.fixture(scope="module")
async def opened(
    own_database: str, emptying: ConnectionPool, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    """One handle for the module, as building one takes longer than most tests here."""
    with emptying.connection() as connection:
        connection.execute(EMPTY)
    settings = Settings(demo=True, data_dir=tmp_path_factory.mktemp("packages"))
    async with wiring.running(settings, own_database, BASE) as built:
        yield built


@pytest.fixture
def server(opened: Server, database_url: str) -> Server:
    """That handle over an empty database; what it knew of search parameters is gone too."""
    opened.in_force.registry = opened.registry.official
    opened.in_force.doubt()
    return opened


def example(*some: Json) -> dict[str, bytes]:
    return {
        f"example/{one['resourceType']}-{one['id']}.json": msgspec.json.encode(one) for one in some
    }


async def brought(server: Server, content: dict[str, bytes], wish: Wish = PLAIN) -> Done:
    """Install these files, and return what came of the package itself."""
    place = server.settings.data_dir / "a.tgz"
    done = await install(server, WHO, packing.packed(place, content), wish)
    return done[-1]


async def there(server: Server) -> list[tuple[str, str, int, bool]]:
    """Type, id, version of all that is stored, and whether it is deleted."""
    names = server.definitions.type_names
    async with server.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT type_id, id, version, deleted FROM resource WHERE key > 0"
        )
        rows = await cursor.fetchall()
    return sorted((names[type_id], *rest) for type_id, *rest in rows)


async def installed(server: Server) -> list[record.Installed]:
    async with server.database.connection() as connection:
        return await record.installed(connection)


async def labels(server: Server) -> list[str]:
    return [one.label for one in await installed(server)]


async def test_a_package_becomes_resources_that_are_found(
    client: httpx.AsyncClient, server: Server
) -> None:
    done = await brought(server, packing.files(system("s"), PARAMETER))
    assert (dict(done.stored), done.kept) == ({"CodeSystem": 1, "SearchParameter": 1}, 0)
    url = "http://a.example/fhir/CodeSystem/s"
    found = (await client.get("/CodeSystem", params={"url": f"{url}|1"})).json()
    assert [one["resource"]["id"] for one in found["entry"]] == ["s"]
    history = (await client.get("/CodeSystem/s/_history")).json()
    assert [one["request"]["method"] for one in history["entry"]] == ["PUT"]


async def test_its_codes_are_known_at_once(client: httpx.AsyncClient, server: Server) -> None:
    asked = {"url": "http://a.example/fhir/ValueSet/v"}
    assert (await client.get("/ValueSet/$expand", params=asked)).status_code == 404
    value_set = {
        "resourceType": "ValueSet",
        "id": "v",
        "url": asked["url"],
        "status": "active",
        "compose": {"include": [{"system": "http://a.example/fhir/CodeSystem/s"}]},
    }
    await brought(server, packing.files(system("s"), value_set))
    expanded = (await client.get("/ValueSet/$expand", params=asked)).json()["expansion"]
    assert [one["code"] for one in expanded["contains"]] == ["a", "b"]
    await remove(server, WHO, "a.guide")
    assert (await client.get("/ValueSet/$expand", params=asked)).status_code == 404


async def test_the_record_says_what_came_when_and_by_whom(server: Server) -> None:
    place = packing.packed(server.settings.data_dir / "a.tgz", packing.files(system("s")))
    await install(server, WHO, place, PLAIN)
    (one,) = await installed(server)
    assert (one.label, one.installed_by, one.resources) == ("a.guide#1.0.0", "asha", 1)
    assert one.dependencies == {"hl7.fhir.r4.core": "4.0.1"}
    assert (len(one.sha256 or ""), one.canonical) == (64, "http://a.example/fhir")


async def test_a_second_installation_changes_nothing(server: Server, tmp_path: Path) -> None:
    files = packing.files(system("s"))
    await brought(server, files)
    assert (await brought(server, files)).already
    directory = packing.unpacked(tmp_path / "same", files)
    assert [one.already for one in await install(server, WHO, directory, PLAIN)] == [True]
    assert await there(server) == [("CodeSystem", "s", 1, False)]


async def test_examples_come_on_request_also_later(server: Server) -> None:
    files = {**packing.files(system("s")), **example(PATIENT, OBSERVATION)}
    await brought(server, files)
    assert await there(server) == [("CodeSystem", "s", 1, False)]
    done = await brought(server, files, Wish(examples=True))
    assert dict(done.stored) == {"Patient": 1, "Observation": 1}
    assert (await brought(server, files)).already


@pytest.mark.parametrize("name", ["openapi/a.json", "other/a.json", ".index.json", "a.txt", "x/y"])
async def test_what_is_no_content_is_not_stored(name: str, server: Server) -> None:
    patient = msgspec.json.encode(PATIENT)
    await brought(server, packing.files(system("s"), **{name: patient}), Wish(examples=True))
    assert await there(server) == [("CodeSystem", "s", 1, False)]


async def test_an_id_that_is_taken_stays_with_who_has_it(
    client: httpx.AsyncClient, server: Server
) -> None:
    await client.put("/Patient/one", json={**PATIENT, "active": True})
    files = {**packing.files(system("s")), **example(PATIENT, OBSERVATION)}
    await brought(server, files, Wish(examples=True))
    assert (await client.get("/Patient/one")).json()["active"] is True
    others = [one for one in await there(server) if one[0] == "Patient" and one[1] != "one"]
    subject = (await client.get("/Observation/one")).json()["subject"]["reference"]
    assert [subject] == [f"Patient/{id_}" for _, id_, _, _ in others]


async def test_two_versions_of_a_package_lie_side_by_side(
    client: httpx.AsyncClient, server: Server
) -> None:
    await brought(server, packing.files(system("s")))
    await brought(server, packing.files(system("s", version="2"), manifest={"version": "2.0.0"}))
    url = "http://a.example/fhir/CodeSystem/s"
    for version in ("1", "2"):
        found = (await client.get("/CodeSystem", params={"url": f"{url}|{version}"})).json()
        assert [one["resource"]["version"] for one in found["entry"]] == [version]
    assert await labels(server) == ["a.guide#1.0.0", "a.guide#2.0.0"]


OTHERS = {
    "of another package": {"name": "b.guide"},
    "of another version": {"version": "2.0.0"},
    "of the same package": {},
}


@pytest.mark.parametrize("name", OTHERS)
async def test_another_content_under_a_canonical_is_refused_unless_it_is_to_be_replaced(
    name: str, client: httpx.AsyncClient, server: Server
) -> None:
    await brought(server, packing.files(system("s"), system("gone")))
    files = packing.files(system("new"), system("s", title="New"), manifest=OTHERS[name])
    with pytest.raises(Conflict, match="another content"):
        await brought(server, files)
    assert [one[1] for one in await there(server)] == ["gone", "s"]
    await brought(server, files, Wish(replacing=True))
    assert (await client.get("/CodeSystem/s")).json()["title"] == "New"
    left = [one[1] for one in await there(server) if not one[3]]
    assert left == (["new", "s"] if name == "of the same package" else ["gone", "new", "s"])


async def test_a_canonical_without_version_is_another_one(server: Server) -> None:
    plain = {key: value for key, value in system("s").items() if key != "version"}
    await brought(server, packing.files(system("s")))
    other = await brought(server, packing.files(plain, manifest={"name": "b.guide"}))
    assert other.stored.total() == 1
    third = packing.files({**plain, "title": "X"}, manifest={"name": "c.guide"})
    with pytest.raises(Conflict, match="CodeSystem/s is stored"):
        await brought(server, third)


async def test_two_files_that_are_one_resource_must_not_differ(server: Server) -> None:
    files = packing.files(system("s"))
    same = {**files, "again.json": files["CodeSystem-s.json"]}
    await brought(server, same)
    assert await there(server) == [("CodeSystem", "s", 1, False)]
    twice = {**files, "again.json": msgspec.json.encode(system("s", title="X"))}
    twice["package.json"] = packing.files(manifest={"name": "b.guide"})["package.json"]
    with pytest.raises(Conflict, match="the same resource, and differ"):
        await brought(server, twice)


async def test_what_is_not_valid_is_refused_or_left_out(server: Server) -> None:
    files = {**packing.files(system("s")), **example(PATIENT, BROKEN)}
    with pytest.raises(Unprocessable) as refused:
        await brought(server, files, Wish(examples=True))
    assert [issue.text for issue in refused.value.issues] == [
        "example/Patient-two.json: Patient.birthDate: Not a valid date"
    ]
    assert await there(server) == []
    done = await brought(server, files, Wish(examples=True, lenient=True))
    assert [one.path for one in done.faults] == ["example/Patient-two.json"]
    assert [one[1] for one in await there(server)] == ["s", "one"]


CORE = {"hl7.fhir.r4.core": "4.0.1"}
HOSTILE: dict[str, tuple[Callable[[], bytes], type[SangamError]]] = {
    "path traversal": (
        lambda: packing.tgz([*packing.members(packing.files()), ("package/../x.json", b"{}")]),
        BadRequest,
    ),
    "duplicate name": (
        lambda: packing.tgz(packing.members(packing.files(system("s"))) * 2),
        BadRequest,
    ),
    "bomb": (
        lambda: packing.tgz(packing.members(packing.files(**{"a.bin": bytes(32 << 20)}))),
        TooLarge,
    ),
    "no manifest": (
        lambda: packing.tgz([("package/a.json", msgspec.json.encode(system("s")))]),
        BadRequest,
    ),
    "manifest of nothing": (lambda: packing.tgz([("package/package.json", b"[]")]), BadRequest),
    "name with a path": (
        lambda: packing.tgz(packing.members(packing.files(manifest={"name": "../a"}))),
        BadRequest,
    ),
    "version of no form": (
        lambda: packing.tgz(packing.members(packing.files(manifest={"version": "one"}))),
        BadRequest,
    ),
    "other FHIR": (
        lambda: packing.tgz(packing.members(packing.files(manifest={"fhirVersions": ["4.3.0"]}))),
        Unprocessable,
    ),
    "no FHIR": (
        lambda: packing.tgz(packing.members(packing.files(manifest={"fhirVersions": []}))),
        Unprocessable,
    ),
    "dependency that is nowhere": (
        lambda: packing.tgz(
            packing.members(packing.files(manifest={"dependencies": {"b": "1.0"}}))
        ),
        NotFound,
    ),
    "dependency on what moves": (
        lambda: packing.tgz(
            packing.members(packing.files(manifest={"dependencies": {"b": "current"}}))
        ),
        BadRequest,
    ),
    "no JSON": (
        lambda: packing.tgz(packing.members(packing.files(**{"a.json": b'{"resourceType":'}))),
        BadRequest,
    ),
    "nested too deeply": (
        lambda: packing.tgz(packing.members(packing.files(**{"a.json": b"[" * 200_000}))),
        BadRequest,
    ),
    "member named twice": (
        lambda: packing.tgz(
            packing.members(
                packing.files(**{"a.json": b'{"resourceType":"Patient","id":"a","id":"b"}'})
            )
        ),
        Unprocessable,
    ),
    "meta of another kind": (
        lambda: packing.tgz(packing.members(packing.files({**PATIENT, "meta": []}))),
        Unprocessable,
    ),
    "unknown type": (
        lambda: packing.tgz(packing.members(packing.files({"resourceType": "Citation"}))),
        Unprocessable,
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_package_leaves_nothing(name: str, server: Server) -> None:
    make, refusal = HOSTILE[name]
    place = server.settings.data_dir / "a.tgz"
    place.write_bytes(make())
    with pytest.raises(refusal, match=r"\Aa\.|\AA resource of a\.guide"):
        await install(server, WHO, place, PLAIN)
    assert (await there(server), await installed(server)) == ([], [])


async def test_another_fhir_is_taken_when_it_is_insisted_on(server: Server) -> None:
    files = packing.files(system("s"), manifest={"fhirVersions": ["4.3.0"]})
    assert (await brought(server, files, Wish(any_fhir=True))).stored.total() == 1


def offer(folder: Path, name: str, version: str = "1.0.0", **needs: str) -> None:
    """Put a package into the folder of those that others depend on."""
    folder.mkdir(exist_ok=True)
    code_system = system(name.replace(".", "-"), version=version)
    manifest = {"name": name, "version": version, "dependencies": needs}
    packing.packed(folder / f"{name}-{version}.tgz", packing.files(code_system, manifest=manifest))


async def test_what_it_depends_on_is_installed_before_it(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "packages"
    offer(folder, "c", "1.2.0", **CORE)
    offer(folder, "b", c="1.x", d="1.0.0")
    offer(folder, "d", b="1.0.0")  # a circle
    files = packing.files(system("s"), manifest={"dependencies": {"b": "1.0.0"}})
    done = await install(
        server, WHO, packing.packed(tmp_path / "a.tgz", files), Wish(folder=folder)
    )
    assert [one.label for one in done] == ["c#1.2.0", "d#1.0.0", "b#1.0.0", "a.guide#1.0.0"]
    assert [(one.name, dict(one.dependencies)) for one in await installed(server)] == [
        ("a.guide", {"b": "1.0.0"}),
        ("b", {"c": "1.2.0", "d": "1.0.0"}),
        ("c", {"hl7.fhir.r4.core": "4.0.1"}),
        ("d", {"b": "1.0.0"}),
    ]


async def test_the_whole_set_comes_or_nothing(server: Server, tmp_path: Path) -> None:
    offer(tmp_path / "packages", "b")
    manifest = {"dependencies": {"b": "1.0.0"}}
    other = system("b", version="1.0.0", title="Not that of b")
    files = packing.files(system("a"), other, manifest=manifest)
    with pytest.raises(Conflict, match=r"CodeSystem/b\|1\.0\.0 is stored"):
        await brought(server, files, Wish(folder=tmp_path / "packages"))
    assert (await there(server), await installed(server)) == ([], [])


async def test_a_range_takes_the_highest_that_is_installed(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "packages"
    for version in ("1.2.9", "1.2.10", "1.3.0"):
        await brought(
            server, packing.files(manifest={"name": "b", "version": version, "dependencies": {}})
        )
    offer(folder, "b", "1.2.11")
    files = packing.files(manifest={"dependencies": {"b": "1.2.x"}})
    await brought(server, files, Wish(folder=folder))
    (one,) = [one for one in await installed(server) if one.name == "a.guide"]
    assert one.dependencies == {"b": "1.2.10"}


async def test_a_dependency_may_be_gone_without(server: Server) -> None:
    files = packing.files(manifest={"dependencies": {"b": "dev", "c": "1.0.0"}})
    await brought(server, files, Wish(without=("b", "c")))
    (one,) = await installed(server)
    assert one.dependencies == {"b": None, "c": None}


async def test_removal_takes_only_what_the_package_brought(
    client: httpx.AsyncClient, server: Server
) -> None:
    await client.put("/CodeSystem/mine", json=system("mine"))
    names = ("mine", "shared", "changed", "gone", "deleted")
    await brought(server, packing.files(*map(system, names)))
    await brought(server, packing.files(system("shared"), manifest={"name": "b.guide"}))
    await client.put("/CodeSystem/changed", json=system("changed", title="Mine now"))
    await client.delete("/CodeSystem/deleted")
    away = await remove(server, WHO, "a.guide")
    assert away == Away(
        "a.guide#1.0.0", deleted={"CodeSystem": 1}, changed=["CodeSystem/changed"], shared=1
    )
    left = [id_ for _, id_, _, deleted in await there(server) if not deleted]
    assert left == ["changed", "mine", "shared"]
    # Now it is the other's.
    assert (await remove(server, WHO, "b.guide")).deleted == {"CodeSystem": 1}
    assert await labels(server) == []


async def test_what_was_removed_can_come_again(server: Server) -> None:
    files = packing.files(system("s"))
    await brought(server, files)
    await remove(server, WHO, "a.guide", "1.0.0")
    assert (await brought(server, files)).stored.total() == 1
    assert await there(server) == [("CodeSystem", "s", 3, False)]


async def test_a_package_stays_while_another_depends_on_it(server: Server) -> None:
    await brought(server, packing.files(manifest={"name": "b", "dependencies": {}}))
    await brought(server, packing.files(manifest={"dependencies": {"b": "1.x"}}))
    with pytest.raises(Conflict, match=r"a\.guide#1\.0\.0 depends on b#1\.0\.0"):
        await remove(server, WHO, "b")
    await remove(server, WHO, "a.guide")
    await remove(server, WHO, "b")
    assert await labels(server) == []


async def test_a_package_stays_while_a_resource_refers_to_what_it_brought(
    client: httpx.AsyncClient, server: Server
) -> None:
    await brought(server, {**packing.files(), **example(PATIENT)}, Wish(examples=True))
    await client.post("/Observation", json=OBSERVATION)
    with pytest.raises(Conflict, match="Patient/one has to stay"):
        await remove(server, WHO, "a.guide")
    assert await labels(server) == ["a.guide#1.0.0"]


async def test_of_several_versions_one_is_named(server: Server) -> None:
    with pytest.raises(NotFound, match=r"a\.guide is not installed"):
        await remove(server, WHO, "a.guide")
    for version in ("1.0.0", "2.0.0"):
        await brought(server, packing.files(manifest={"version": version}))
    with pytest.raises(BadRequest, match="name one"):
        await remove(server, WHO, "a.guide")
    await remove(server, WHO, "a.guide", "1.0.0")
    assert await labels(server) == ["a.guide#2.0.0"]


async def coverage(server: Server) -> tuple[list[tuple[str, str]], int]:
    """Codes and states of the search parameters of the site, and the jobs that wait."""
    async with server.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT definition ->> 'code', state FROM search_coverage ORDER BY 1"
        )
        found = [(code, state) for code, state in await cursor.fetchall()]
        cursor = await connection.execute("SELECT count(*) FROM job WHERE kind LIKE '%%reindex%%'")
        row = await cursor.fetchone()
    assert row is not None
    return found, row[0]


async def test_a_search_parameter_is_indexed_as_if_it_were_written_alone(server: Server) -> None:
    await brought(server, packing.files(PARAMETER, system("s")))
    assert await coverage(server) == ([("shoe", "pending")], 1)
    await remove(server, WHO, "a.guide")
    assert [state for _, state in (await coverage(server))[0]] in ([], ["dropping"])


async def test_a_search_parameter_of_a_refused_package_is_none(
    client: httpx.AsyncClient, server: Server
) -> None:
    # What the parameter asks for is looked at when it is stored, after another one was.
    bad = {**PARAMETER, "id": "tall", "url": "http://a.example/tall", "code": "tall"}
    bad["expression"] = "Patient.extension(("
    with pytest.raises(SangamError, match=r"SearchParameter/tall: "):
        await brought(server, packing.files(PARAMETER, bad))
    assert await coverage(server) == ([], 0)
    assert (await client.post("/Patient", json=PATIENT)).status_code == 201


async def test_two_installations_at_once_do_not_mix(server: Server, tmp_path: Path) -> None:
    paths = [
        packing.packed(
            tmp_path / f"{name}.tgz", packing.files(system("s"), manifest={"name": name})
        )
        for name in ("a", "b")
    ]
    done = await asyncio.gather(
        *(install(server, WHO, path, PLAIN) for path in paths), return_exceptions=True
    )
    refused = [one for one in done if isinstance(one, BaseException)]
    assert [str(one) for one in refused] in ([], ["Another installation came between; try again"])
    assert len(await installed(server)) == 2 - len(refused)
    assert await there(server) == [("CodeSystem", "s", 1, False)]


async def test_a_large_code_system_is_taken_up_to_the_setting(server: Server) -> None:
    codes = [{"code": f"c{n}"} for n in range(6_000)]
    files = packing.files(system("s"), system("t", concept=codes))
    packages = server.settings.packages.model_copy(update={"index_rows": 5_900})
    settings = server.settings.model_copy(update={"packages": packages})
    with pytest.raises(TooLarge, match=r"CodeSystem/t: .* index values"):
        await brought(replace(server, settings=settings), files)
    assert (await brought(server, files)).stored.total() == 2


async def test_a_broken_package_in_the_folder_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "broken.tgz").write_bytes(b"nothing")
    with pytest.raises(BadRequest, match=r"\Abroken\.tgz: "):
        await brought(server, packing.files(), Wish(folder=tmp_path))
    with pytest.raises(BadRequest, match="no directory"):
        await brought(server, packing.files(), Wish(folder=tmp_path / "broken.tgz"))


async def test_a_profile_that_is_installed_is_seen_by_the_other_processes(
    settings: Settings, database_url: str
) -> None:
    profile = {
        "resourceType": "StructureDefinition",
        "id": "strict",
        "url": "http://a.example/strict",
        "name": "Strict",
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": "Patient",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
        "derivation": "constraint",
        "differential": {"element": [{"id": "Patient.active", "path": "Patient.active", "min": 1}]},
    }
    claim = {**PATIENT, "meta": {"profile": ["http://a.example/strict"]}}
    async with (
        wiring.running(settings, database_url, BASE) as one,
        wiring.running(settings, database_url, BASE) as other,
    ):
        transport = httpx.ASGITransport(app=create_app(other))
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
            before = await client.put("/Patient/one", json=claim)
            await brought(one, packing.files(profile))
            after = await client.put("/Patient/one", json={**claim, "gender": "other"})
            await remove(one, WHO, "a.guide")
            again = await client.put("/Patient/one", json={**claim, "gender": "other"})
    assert [answer.status_code for answer in (before, after, again)] == [201, 422, 200]
