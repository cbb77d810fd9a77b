"""Keys in envelopes: opened by whom they are for."""

from pathlib import Path

import pytest

from fhir_server.at_rest import envelope
from fhir_server.at_rest.keys import Damaged
from fhir_server.errors import BadRequest, Conflict, SangamError

KEY = bytes(range(32))
PHRASE = "nine lives of a cat"


def pair(folder: Path, name: str) -> Path:
    (folder / f"{name}.pub").write_text(envelope.new_pair(folder / name))
    return folder / name


def test_the_private_key_of_the_pair_opens_and_no_other(tmp_path: Path) -> None:
    ours, other = pair(tmp_path, "ours"), pair(tmp_path, "other")
    made = envelope.for_pair(KEY, tmp_path / "ours.pub")
    assert envelope.opened(made, private=ours) == KEY
    with pytest.raises(Damaged):
        envelope.opened(made, private=other)
    with pytest.raises(Damaged):
        envelope.opened(made, passphrase=PHRASE)
    assert ours.stat().st_mode & 0o777 == 0o400
    with pytest.raises(Conflict):
        envelope.new_pair(ours)


def test_the_passphrase_opens_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "ROUNDS", 1_000)
    made = envelope.for_passphrase(KEY, PHRASE)
    assert envelope.opened(made, passphrase=PHRASE) == KEY
    for wrong in ({"passphrase": PHRASE.upper()}, {"private": pair(tmp_path, "ours")}):
        with pytest.raises(Damaged):
            envelope.opened(made, **wrong)  # type: ignore[arg-type]
    with pytest.raises(BadRequest):
        envelope.for_passphrase(KEY, "too short")
    with pytest.raises(BadRequest):
        envelope.opened(made)


def test_a_changed_envelope_is_not_opened(tmp_path: Path) -> None:
    ours = pair(tmp_path, "ours")
    made = envelope.for_pair(KEY, tmp_path / "ours.pub")
    head, *rest, tag = made.split(".")
    for changed in (".".join((head, *rest, tag[::-1])), made[:-9], "", "a.b.c.d.e"):
        with pytest.raises(Damaged):
            envelope.opened(changed, private=ours)


@pytest.mark.parametrize(
    ("content", "mode"),
    [("{}", 0o400), ("", 0o400), ("x" * 9000, 0o400), (None, 0o444)],
    ids=["no key", "empty", "long", "others may read it"],
)
def test_a_file_that_is_no_private_key_is_refused(
    tmp_path: Path, content: str | None, mode: int
) -> None:
    made = pair(tmp_path, "ours")
    sealed = envelope.for_pair(KEY, tmp_path / "ours.pub")
    made.chmod(0o600)
    if content is not None:
        made.write_text(content)
    made.chmod(mode)
    with pytest.raises(SangamError):
        envelope.opened(sealed, private=made)
    with pytest.raises(SangamError):
        envelope.opened(sealed, private=tmp_path / "ours.pub")
