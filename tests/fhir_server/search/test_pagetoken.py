import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.errors import BadRequest
from fhir_server.search.compile import Position
from fhir_server.search.pagetoken import LIFETIME, Page, Rest, pack, seal, unpack, unseal

SECRET = b"a secret of this test"
NOW = int(time.time())
PAGE = Page(
    type="Patient",
    compartment=None,
    pairs=[("name", "Anna"), ("_sort", "family")],
    values=["anna", None, 7],
    key=1 << 60,
    snapshot="10:20:",
    total=12,
    issued=NOW,
)


def test_a_token_leads_back_to_its_page() -> None:
    page = unseal(SECRET, "me", seal(SECRET, "me", PAGE))
    assert page == PAGE
    assert page.position == Position(("anna", None, 7), 1 << 60, "10:20:")


def test_a_token_leads_to_the_rest_of_the_includes() -> None:
    pairs = [("_include", "*")]
    rest = Rest("Patient", ("Patient", "a"), pairs, pack([1 << 62, 7]), 2, 1 << 60, NOW)
    assert unseal(SECRET, "me", seal(SECRET, "me", rest)) == rest


@given(st.sets(st.integers(0, (1 << 63) - 1), max_size=50))
def test_keys_are_packed_without_loss(keys: set[int]) -> None:
    assert unpack(pack(keys)) == sorted(keys)


def test_a_token_does_not_show_the_query() -> None:
    first, second = seal(SECRET, "me", PAGE), seal(SECRET, "me", PAGE)
    assert "Anna" not in first
    assert first != second
    assert set(first) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_token_of_another_caller_or_server_is_refused() -> None:
    token = seal(SECRET, "me", PAGE)
    for secret, caller in ((SECRET, "you"), (b"another", "me")):
        with pytest.raises(BadRequest):
            unseal(secret, caller, token)


@given(place=st.integers(0, 80), text=st.text(max_size=20))
def test_a_changed_token_is_refused(place: int, text: str) -> None:
    token = seal(SECRET, "me", PAGE)
    other = "A" if token[place] != "A" else "B"
    for forged in (token[:place] + other + token[place + 1 :], text, token[:place]):
        with pytest.raises(BadRequest) as refused:
            unseal(SECRET, "me", forged)
        assert refused.value.issues[0].expression == "_page"


def test_a_token_lives_an_hour() -> None:
    token = seal(SECRET, "me", PAGE)
    assert unseal(SECRET, "me", token, NOW + LIFETIME) == PAGE
    with pytest.raises(BadRequest) as refused:
        unseal(SECRET, "me", token, NOW + LIFETIME + 1)
    assert refused.value.issues[0].code == "expired"
