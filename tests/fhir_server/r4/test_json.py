import random
from collections.abc import Callable
from decimal import Decimal
from time import process_time

import pytest

from fhir_server.config import Limits
from fhir_server.errors import BadRequest
from fhir_server.r4 import json

LIMITS = Limits()


def refused(act: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(BadRequest) as caught:
        act()
    return caught.value.issues[0].code, caught.value.text


@pytest.mark.parametrize(
    "literal", ["1.40", "105.00", "1.0E+2", "0.10", "-0.5", "-1.000E+245", "1E-245"]
)
def test_decimals_keep_their_digits(literal: str) -> None:
    assert json.decode(literal.encode()) == Decimal(literal)
    assert json.encode(json.decode(literal.encode())) == literal.encode()


def test_integers_stay_integers() -> None:
    assert json.decode(b'{"a":[1,-2,0]}') == {"a": [1, -2, 0]}


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", "The text is not JSON"),
        (b'{"a":1', "The text is not JSON"),
        (b'{"a":1,}', "The text is not JSON (byte 7)"),
        (b"NaN", "The text is not JSON (byte 0)"),
        (b"[-Infinity]", "The text is not JSON (byte 2)"),
        (b"\xef\xbb\xbf{}", "The text is not JSON (byte 0)"),
        (b'"\\ud800"', "The text is not JSON"),
        (b'"a\x00b"', "The text is not JSON (byte 2)"),
        (b'"a\tb"', "The text is not JSON (byte 2)"),
        (b'"\\u0000"', "A string has a null character"),
        (b'"\\\\\\u0000"', "A string has a null character"),
        (b'"\xff"', "The text is not valid UTF-8"),
        (b'"\xed\xa0\x80"', "The text is not valid UTF-8"),
        (b'"\xc0\x80"', "The text is not valid UTF-8"),
        (b"[" * 100_000, "The JSON is nested too deeply"),
        (b"1e309", "A number has too many digits"),
        (b"1e-309", "A number has too many digits"),
        (b"1e99999999999999999999", "A number has too many digits"),
        (b"0." + b"3" * 65, "A number has too many digits"),
        (b"3" * 65, "A number has too many digits"),
        (b"3" * 5_000, "The text is not JSON"),
    ],
)
def test_what_is_not_strict_json_is_refused(raw: bytes, text: str) -> None:
    assert refused(lambda: json.decode(raw)) == ("structure", text)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":1}',
        b'{"a" : 1, "b": {"c":1 , "c" :2}}',
        b'[{"a":1,"\\u0061":2}]',
        b'{"x":"\\u003a","a":1,"a":1}',
        b'{"x":"\\u003A\\u003a","a":1,"b":[{"a":1,"a":1}]}',
        b'{"a\\\\":1,"a\\\\":1}',
    ],
)
def test_a_member_named_twice_is_refused(raw: bytes) -> None:
    expected = ("structure", "An object has two members of the same name")
    assert refused(lambda: json.decode(raw)) == expected


def test_strings_are_free_to_look_like_structure() -> None:
    text = '{"a":1,"a":2} \\u0000 : [[[[ ' + "7" * 70 + " 1e999 \\"
    assert json.decode(json.encode({"a": text, "b:": text})) == {"a": text, "b:": text}


def test_escaped_backslash_before_u0000_is_no_null() -> None:
    assert json.decode(b'"\\\\u0000"') == "\\u0000"


def test_members_keep_the_bytes_of_their_values() -> None:
    raw = b'{ "a" : 1.40, "b": {"c":1.0E+2 , "d":[ ]}}'
    found = json.members(raw)
    assert {name: bytes(value) for name, value in found.items()} == {
        "a": b"1.40",
        "b": b'{"c":1.0E+2 , "d":[ ]}',
    }


def test_members_of_a_list_are_refused() -> None:
    assert refused(lambda: json.members(b"[]"))[0] == "structure"


def depth(raw: bytes) -> int:
    value = json.decode(raw)

    def measure(value: object) -> int:
        if isinstance(value, list):
            return 1 + max(map(measure, value), default=0)
        if isinstance(value, dict):
            return 1 + max(map(measure, value.values()), default=0)
        return 0

    return measure(value)


def random_json(rng: random.Random, level: int) -> object:
    if level == 0 or rng.random() < 0.1:
        return rng.choice([1, ']}\\"', "{[", None])
    inner = [random_json(rng, level - 1) for _ in range(rng.randint(0, 3))]
    return inner if rng.random() < 0.5 else {f'"{i}[': value for i, value in enumerate(inner)}


@pytest.mark.parametrize("seed", range(50))
def test_depth_is_counted_exactly(seed: int) -> None:
    raw = json.encode([random_json(random.Random(seed), 9)])
    levels = depth(raw)
    json.check_caps(raw, Limits(json_depth=levels))
    if levels > 1:
        text = refused(lambda: json.check_caps(raw, Limits(json_depth=levels - 1)))
        assert text == ("structure", "The JSON is nested too deeply")


def test_depth_64_is_the_last_that_is_accepted() -> None:
    json.check_caps(b"[" * 64 + b"]" * 64 + b" ", LIMITS)
    assert refused(lambda: json.check_caps(b"[" * 65 + b"]" * 65, LIMITS))[0] == "structure"


def test_members_of_one_object_are_counted_apart_from_others() -> None:
    limits = Limits(object_members=3)
    json.check_caps(b'[{"a":1,"b":{"x":1,"y":[{"p":1,"q":"::::"}],"z":3},"c":3},{"a":1}]', limits)
    nested = b'[{"a":1,"b":{"x":1,"y":1},"c":3,"d":[]},{"a":1}]'
    assert refused(lambda: json.check_caps(nested, limits)) == (
        "too-long",
        "An object has too many members",
    )


def test_a_long_string_is_refused() -> None:
    limits = Limits(string_bytes=10)
    json.check_caps(b'["0123456789","0123456789"]', limits)
    assert refused(lambda: json.check_caps(b'["0123456789a"]', limits)) == (
        "too-long",
        "A string is too long",
    )
    assert refused(lambda: json.check_caps(b'["\\"\\"\\"\\"\\"\\""]', limits))[0] == "too-long"


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * (16 << 20),
        b'{"a":' * 3_000_000,
        (b"[" * 63 + b"]" * 63) * 120_000,
        b"[[],[[],[]]]," * 1_200_000,
        b'{"a":1' + b',"a":1' * 2_600_000 + b"}",
        b'"' + b"\\\\" * 8_000_000 + b'"',
    ],
    ids=["arrays", "objects", "combs", "trees", "members", "escapes"],
)
def test_sixteen_hostile_megabytes_cost_little(raw: bytes) -> None:
    start = process_time()
    try:
        json.check_caps(raw, LIMITS)
        json.decode(raw)
    except BadRequest as error:
        refusal = error
    assert refusal.status == 400
    assert process_time() - start < 10  # two orders above what it takes, for busy machines
