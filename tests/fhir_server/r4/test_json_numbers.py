import copy
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.errors import BadRequest
from fhir_server.r4 import json

LITERALS = ["1.40", "0.0000000100", "1.0e2", "1E5", "-0.0", "1.50E-7", "12e+03", "0e0", "0.10E1"]


@pytest.mark.parametrize("literal", LITERALS)
def test_a_number_is_written_as_it_was_read(literal: str) -> None:
    raw = b'{"a":[' + literal.encode() + b"]}"
    assert json.encode(json.decode_keeping(raw)) == raw
    assert str(json.decode_keeping(raw)["a"][0]) == literal


@pytest.mark.parametrize("literal", LITERALS)
def test_a_number_is_its_value(literal: str) -> None:
    kept, plain = json.decode_keeping(literal.encode()), Decimal(literal)
    assert isinstance(kept, Decimal)
    assert kept == plain == json.decode(literal.encode())
    assert hash(kept) == hash(plain)
    assert str(kept + 0) == str(plain + 0)


@pytest.mark.parametrize("literal", LITERALS)
def test_copies_keep_the_literal(literal: str) -> None:
    kept = json.decode_keeping(literal.encode())
    for same in (copy.deepcopy(kept), copy.copy(kept)):
        assert str(same) == literal


@given(st.from_regex(r"\A-?(0|[1-9][0-9]{0,9})(\.[0-9]{1,12}([eE][+-]?[0-9]{1,2})?)\Z"))
def test_every_fraction_keeps_its_literal(literal: str) -> None:
    raw = f"[{literal}]".encode()
    assert json.encode(json.decode_keeping(raw)) == raw


def test_what_decode_refuses_is_refused() -> None:
    for raw in (b"NaN", b'{"a":1,"a":2}', b"1e999", b"0." + b"3" * 65, b'"\\u0000"'):
        with pytest.raises(BadRequest):
            json.decode_keeping(raw)


def test_other_values_have_no_json_form() -> None:
    with pytest.raises(TypeError):
        json.encode({"a": object()})
