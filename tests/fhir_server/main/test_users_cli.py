"""`sangam user`, `sangam client` and `sangam keys` as the person at them meets them."""

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import Result
from typer.testing import CliRunner

from fhir_server.main.cli import app


@pytest.fixture
def _here(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SANGAM_DATABASE_URL", database_url)
    monkeypatch.setenv("SANGAM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SANGAM_SECURITY__IDENTITY__PASSWORD__MEMORY_KIB", "8")
    monkeypatch.setenv("SANGAM_SECURITY__IDENTITY__PASSWORD__PASSES", "1")
    monkeypatch.setenv("SANGAM_SECURITY__IDENTITY__PASSWORD__PARALLELISM", "1")
    monkeypatch.chdir(tmp_path)
    return


def sangam(line: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(app, line.split(), input=typed, env={"COLUMNS": "200"})


@pytest.mark.usefixtures("_here")
def test_users_and_clients_are_added_changed_and_blocked(database_url: str) -> None:
    adding = "user add Asha --role DOCTOR --fhir-user Practitioner/1 --password-stdin"
    found = [
        sangam(adding, "password1234\n").exit_code,
        sangam(adding.replace("DOCTOR", "EMPEROR"), "a long and quiet evening\n").exit_code,
        sangam(adding.replace("Practitioner/1", "1"), "a long and quiet evening\n").exit_code,
        sangam(adding, "a long and quiet evening\n").exit_code,
        sangam(adding, "a long and quiet evening\n").exit_code,
        sangam("user roles asha --role NURSE --role ADMIN").exit_code,
        sangam("user block asha").exit_code,
        sangam("user unblock nobody").exit_code,
    ]
    assert found == [1, 1, 1, 0, 1, 0, 0, 1]
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO role (name, version, definition, changed_by)"
            """ VALUES ('WARD_CLERK', 1, '{"title": "Clerk"}', 'test')"""
        )
        connection.execute(
            "INSERT INTO identity_client (id, name, authentication, scope, created_by)"
            " VALUES ('app', 'App', 'none', 'user/*.rs', 'test')"
        )
        connection.execute(
            "INSERT INTO identity_grant (id, client_id, user_id, scope, authenticated_at)"
            " SELECT 'g1', 'app', id, 'offline_access', now() FROM identity_user"
        )
    assert sangam("user roles asha --role WARD_CLERK").exit_code == 0
    renewed = "user password asha --password-stdin"
    assert sangam(renewed, "another long and quiet evening\n").exit_code == 0
    with psycopg.connect(database_url) as connection:
        ended = connection.execute(
            "DELETE FROM identity_grant RETURNING ended_at IS NOT NULL"
        ).fetchall()
        connection.execute("DELETE FROM identity_client")
    assert ended == [(True,)]
    assert sangam("user roles asha --role NURSE --role ADMIN").exit_code == 0
    assert sangam("client revoke-token https://a.example t1").exit_code == 0
    keys = Path("keys.json")
    keys.write_text(json.dumps({"keys": [{"kty": "EC", "kid": "k"}]}))
    adding = "client add Lab --scope system/*.rs --system --client-id lab"
    found = [
        sangam(adding).exit_code,
        sangam(f"{adding} --jwks keys.json").exit_code,
        sangam("client block lab").exit_code,
        sangam("client add App --scope openid --redirect-uri http://a.example.org/").exit_code,
    ]
    assert found == [1, 0, 0, 1]
    secret = sangam("client add Ehr --scope openid --redirect-uri https://a.example.org/ --secret")
    assert "client_secret" in secret.output
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT name, roles, fhir_user, active, password LIKE '$argon2id$%' FROM identity_user"
        ).fetchall()
        clients = connection.execute(
            "SELECT name, authentication, active, secret IS NULL FROM identity_client ORDER BY name"
        ).fetchall()
        revoked = connection.execute("SELECT issuer, jti FROM revoked_token").fetchall()
    assert revoked == [("https://a.example", "t1")]
    assert rows == [("asha", ["NURSE", "ADMIN"], "Practitioner/1", False, True)]
    assert clients == [
        ("Ehr", "client_secret_basic", True, False),
        ("Lab", "private_key_jwt", False, True),
    ]
    shown = sangam("user list").output + sangam("client list").output
    assert ("asha" in shown, "NURSE, ADMIN" in shown, "Lab" in shown) == (True, True, True)


@pytest.mark.usefixtures("_here")
def test_what_other_commands_need_is_shown_whole_in_a_narrow_window() -> None:
    adding = "client add Lab --secret --scope openid --redirect-uri https://a.example.org/"
    made = sangam(adding).output.split()[1]
    shown = CliRunner().invoke(app, ["client", "list"], env={"COLUMNS": "80"}).output
    assert made in shown
    assert sangam(f"client block {made}").exit_code == 0
    refused = sangam("client add X --scope sangam/nothing --redirect-uri https://a.example.org/")
    assert "1 of the scopes are not offered here: [base]/.well-known" in refused.output


@pytest.mark.usefixtures("_here")
def test_an_operator_sees_and_resets_second_factors(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO identity_user (id, name, display, password, seed, recovery)"
            " VALUES ('u1', 'asha', 'Asha', '', 'sealed', '{a,b}'), ('u2', 'ravi', 'Ravi', '',"
            " NULL, '{}')"
        )
        connection.execute(
            "INSERT INTO identity_passkey (id, user_id, credential, attested, count, synced, name)"
            " SELECT n, 'u1', n::bytea, '', 0, false, 'Key' FROM unnest('{k1,k2}'::text[]) AS n"
        )
        listed = CliRunner().invoke(app, ["user", "list"], env={"COLUMNS": "200"}).output
        assert sangam("user forget-device asha").exit_code == 0
        left = connection.execute(
            "SELECT count(key.id), count(one.seed), sum(cardinality(recovery))"
            " FROM identity_user AS one LEFT JOIN identity_passkey AS key ON key.user_id = one.id"
        ).fetchone()
        told = connection.execute(
            "SELECT said::jsonb -> 'about' ->> 0 FROM audit_record"
            " WHERE said::jsonb ->> 'happening' = 'users-changed'"
        ).fetchall()
    assert "a phone, 2 passkeys, 2 codes left" in listed
    assert (left, told) == ((0, 0, 0), [("asha",)])
