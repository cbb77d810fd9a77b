"""What a start has done before there are processes: asked of a process of its own."""

import multiprocessing
import time
from typing import Any

import pytest

from fhir_server.errors import Conflict
from fhir_server.main import entry, serve
from fhir_server.main.refused import Refused
from fhir_server.main.serve import Forking

# A fork has what a test put in the place of what is found.
FORK: Any = multiprocessing.get_context("fork")


def refuse(*_: object) -> None:
    raise Conflict("The key is another")


def put(monkeypatch: pytest.MonkeyPatch, does: Any) -> None:
    monkeypatch.setattr(entry, "configure", lambda _: None)
    monkeypatch.setattr(entry, "found", {f"{entry.PREPARING}:prepared": does}.__getitem__)


def test_what_it_returns_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, lambda *given: given)
    found = serve._asked(Forking(FORK, lambda: False), "prepared", 1, "two")  # noqa: SLF001
    assert found == (1, "two")


def test_a_refusal_comes_back_as_the_sentence_that_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, refuse)
    with pytest.raises(Refused, match="The key is another"):
        serve._asked(Forking(FORK, lambda: False), "prepared")  # noqa: SLF001


def test_one_that_breaks_off_is_a_start_that_is_refused(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    put(monkeypatch, lambda: 1 / 0)
    with pytest.raises(Refused, match="cannot be prepared"):
        serve._asked(Forking(FORK, lambda: False), "prepared")  # noqa: SLF001
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_who_stops_a_start_does_not_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, lambda: time.sleep(600))
    assert serve._asked(Forking(FORK, lambda: True), "prepared") is None  # noqa: SLF001
    assert multiprocessing.active_children() == []
