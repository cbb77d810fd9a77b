"""The stored text keeps what was sent."""

from datetime import UTC, datetime

from fhir_server.store.text import content, instant, keeping_labels, text

AT = datetime(2026, 3, 2, 4, 45, 1, 7_000, tzinfo=UTC)


def stored(raw: bytes) -> bytes:
    return text("Patient", "a", 3, content(raw)).at(AT)


def test_id_and_meta_are_the_servers() -> None:
    raw = b'{"resourceType":"Patient","id":"x","meta":{"versionId":"9","source":"s"},"active":true}'
    assert stored(raw) == (
        b'{"resourceType":"Patient","id":"a","meta":{"versionId":"3",'
        b'"lastUpdated":"2026-03-02T04:45:01.007Z","source":"s"},"active":true}'
    )


def test_number_literals_stay_and_white_space_goes() -> None:
    raw = b'{ "resourceType" : "Patient",\n "x" : [1.40, 1E+2, 0.00000000010] }'
    assert stored(raw).endswith(b',"x":[1.40,1E+2,0.00000000010]}')


def test_digest_ignores_what_the_server_owns_and_white_space() -> None:
    one = content(b'{"resourceType":"Patient","id":"1","meta":{"versionId":"1"},"active":true}')
    two = content(b'{"resourceType":"Patient", "id":"2", "active": true}')
    three = content(b'{"resourceType":"Patient","active":false}')
    assert one.digest() == two.digest()
    assert one.digest() != three.digest()


def test_digest_tells_meta_from_content() -> None:
    one = content(b'{"resourceType":"Patient","meta":{"tag":[]}}')
    two = content(b'{"resourceType":"Patient","tag":[]}')
    assert one.digest() != two.digest()


def test_labels_are_kept_unless_the_client_sends_some() -> None:
    silent = content(b'{"resourceType":"Patient"}')
    vocal = content(b'{"resourceType":"Patient","meta":{"security":[{"code":"N"}]}}')
    assert keeping_labels(silent, b'[{"code":"R"}]').security == b'[{"code":"R"}]'
    assert keeping_labels(vocal, b'[{"code":"R"}]').security == b'[{"code":"N"}]'
    assert b'"security":[{"code":"R"}]' in keeping_labels(silent, b'[{"code":"R"}]').meta


def test_instant_has_milliseconds() -> None:
    assert instant(AT.replace(microsecond=0)) == "2026-03-02T04:45:01.000Z"
