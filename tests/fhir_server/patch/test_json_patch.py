from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.errors import BadRequest, SangamError, TooLarge, Unprocessable
from fhir_server.patch import json_patch
from fhir_server.r4 import json

DOC = {"a": {"b": [1, 2, {"c": "x"}]}, "~/": None, "": True, "n": 1}


def op(name: str, path: str, **members: Any) -> dict[str, Any]:
    if "source" in members:
        members["from"] = members.pop("source")
    return {"op": name, "path": path, **members}


def patched(*operations: Any) -> Any:
    return json_patch.apply(DOC, list(operations))


@pytest.mark.parametrize(
    ("operation", "pointer", "value"),
    [
        (op("add", "/a/b/0", value=9), ("a", "b"), [9, 1, 2, {"c": "x"}]),
        (op("add", "/a/b/3", value=9), ("a", "b"), [1, 2, {"c": "x"}, 9]),
        (op("add", "/a/b/-", value=None), ("a", "b"), [1, 2, {"c": "x"}, None]),
        (op("add", "/n", value=2), ("n",), 2),
        (op("add", "/~0~1", value=1), ("~/",), 1),
        (op("add", "/", value=1), ("",), 1),
        (op("remove", "/a/b/1"), ("a", "b"), [1, {"c": "x"}]),
        (op("replace", "/a/b/2/c", value=[]), ("a", "b"), [1, 2, {"c": []}]),
        (op("replace", "", value={"x": 1}), (), {"x": 1}),
        (op("move", "/a/b/0", source="/n"), ("a", "b"), [1, 1, 2, {"c": "x"}]),
        (op("move", "/a/b/2", source="/a/b/0"), ("a", "b"), [2, {"c": "x"}, 1]),
        (op("move", "/n", source="/n"), ("n",), 1),
        (op("copy", "/n", source="/a/b/2"), ("n",), {"c": "x"}),
        (op("test", "/a/b/0", value=1), ("n",), 1),
        (op("test", "/", value=True), ("n",), 1),
        (op("test", "", value=DOC), ("n",), 1),
        ({"op": "remove", "path": "/n", "comment": "ignored"}, ("a",), DOC["a"]),
    ],
)
def test_operations(operation: dict[str, Any], pointer: tuple[str, ...], value: Any) -> None:
    found = patched(operation)
    for name in pointer:
        found = found[name]
    assert found == value


@pytest.mark.parametrize(
    "operation",
    [
        op("add", "/x/y", value=1),
        op("add", "/a/b/4", value=1),
        op("add", "/a/b/01", value=1),
        op("add", "/a/b/-1", value=1),
        op("add", "/a/b/c", value=1),
        op("add", "/a/b/" + "9" * 5_000, value=1),
        op("add", "/n/x", value=1),
        op("remove", "/x"),
        op("remove", "/a/b/3"),
        op("remove", "/a/b/-"),
        op("remove", ""),
        op("replace", "/x", value=1),
        op("replace", "/a/b/3", value=1),
        op("move", "/n", source="/x"),
        op("move", "/a/b", source="/a"),
        op("copy", "/n", source="/a/b/7"),
        op("copy", "/x/y", source="/n"),
    ],
)
def test_a_path_that_leads_to_nothing_is_a_bad_request(operation: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as caught:
        patched(op("test", "/n", value=1), operation)
    assert caught.value.text == "Operation 1: its path or from leads to nothing"
    assert caught.value.issues[0].code == "value"


@pytest.mark.parametrize(
    "operation",
    [
        "add",
        None,
        {},
        {"op": "add", "value": 1},
        {"path": "/n", "value": 1},
        op("ADD", "/n", value=1),
        op("increment", "/n", value=1),
        op("add", "/n"),
        op("test", "/n"),
        op("replace", "/n"),
        op("move", "/n"),
        op("copy", "/n"),
        {"op": "add", "path": 1, "value": 1},
        {"op": ["add"], "path": "/n", "value": 1},
    ],
)
def test_what_is_no_operation_is_a_bad_request(operation: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        patched(operation)
    assert caught.value.issues[0].code == "structure"


@pytest.mark.parametrize(
    "operation",
    [op("add", "n", value=1), op("remove", "/~2"), op("replace", "/a/b/-", value=1)],
)
def test_a_malformed_pointer_is_a_bad_request(operation: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        patched(operation)


@pytest.mark.parametrize("operations", [{"op": "remove", "path": "/n"}, "remove", 1, None])
def test_a_patch_is_an_array(operations: Any) -> None:
    with pytest.raises(BadRequest):
        json_patch.apply(DOC, operations)


@pytest.mark.parametrize(
    "operation",
    [
        op("test", "/n", value=2),
        op("test", "/n", value="1"),
        op("test", "/n", value=True),
        op("test", "/", value=1),
        op("test", "/a/b", value=[True, 2, {"c": "x"}]),
        op("test", "/~0~1", value=False),
        op("test", "/x", value=None),
        op("test", "/a/b/3", value=None),
    ],
)
def test_a_test_that_fails_is_unprocessable(operation: dict[str, Any]) -> None:
    with pytest.raises(Unprocessable) as caught:
        patched(operation)
    assert (caught.value.status, caught.value.issues[0].code) == (422, "processing")
    assert caught.value.text == "Operation 0: the test fails"


def test_the_document_is_not_changed_by_a_failure_halfway() -> None:
    before = json.encode(DOC)
    with pytest.raises(BadRequest):
        patched(op("add", "/a/b/2/d", value=1), op("remove", "/a/b/0"), op("remove", "/x"))
    assert json.encode(DOC) == before


def test_operations_are_not_changed_by_later_ones() -> None:
    operations = [op("add", "/v", value={"x": []}), op("add", "/v/x/-", value=1)]
    assert patched(*operations)["v"] == {"x": [1]}
    assert operations[0]["value"] == {"x": []}


def test_numbers_keep_their_literal_and_are_tested_by_value() -> None:
    document = json.decode_keeping(b'{"a":0.0000000100,"b":[1.0e2,1.40],"c":1}')
    operations = json.decode_keeping(
        b'[{"op":"test","path":"/a","value":1e-8},{"op":"test","path":"/c","value":1.00},'
        b'{"op":"copy","from":"/a","path":"/b/0"},{"op":"replace","path":"/c","value":1.0E0}]'
    )
    expected = b'{"a":0.0000000100,"b":[0.0000000100,1.0e2,1.40],"c":1.0E0}'
    assert json.encode(json_patch.apply(document, operations)) == expected


def test_what_is_left_must_be_an_object() -> None:
    with pytest.raises(BadRequest):
        patched(op("replace", "", value=[]))
    assert patched(op("replace", "", value=[]), op("replace", "", value={})) == {}


def test_500_operations_are_the_most() -> None:
    operation = op("test", "/n", value=1)
    assert patched(*[operation] * 500) == DOC
    with pytest.raises(BadRequest) as caught:
        patched(*[operation] * 501)
    assert caught.value.issues[0].code == "too-long"


def test_copies_of_copies_are_refused() -> None:
    with pytest.raises(TooLarge):
        patched(*[op("copy", f"/x{i}", source="") for i in range(500)])
    long = {"s": "x" * 1_000_000}
    assert len(json_patch.apply(long, [op("copy", f"/{i}", source="/s") for i in range(15)])) == 16
    with pytest.raises(TooLarge):
        json_patch.apply(long, [op("copy", f"/{i}", source="/s") for i in range(17)])


def test_nesting_that_is_piled_up_is_refused() -> None:
    deep = [op("add", "/a" * level, value={}) for level in range(1, 400)]
    assert patched(*deep[:200])["n"] == 1
    with pytest.raises(BadRequest) as caught:
        patched(*deep)
    assert caught.value.issues[0].code == "structure"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "a", "b"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["", "a", "b", "0", "~"]), inner, max_size=3)
    ),
    max_leaves=8,
)
POINTERS = st.lists(
    st.sampled_from(["", "a", "b", "0", "1", "-", "~0", "~1", "~"]), max_size=4
).map(lambda tokens: "".join(f"/{token}" for token in tokens))
OPERATIONS = st.fixed_dictionaries(
    {},
    optional={
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"]) | VALUES,
        "path": POINTERS | VALUES,
        "from": POINTERS | VALUES,
        "value": VALUES,
    },
)


@given(st.dictionaries(st.sampled_from(["", "a", "b", "~"]), VALUES), st.lists(OPERATIONS | VALUES))
def test_any_patch_gives_a_document_or_a_refusal(
    document: dict[str, Any], operations: list[Any]
) -> None:
    before = json.encode([document, operations])
    try:
        result = json_patch.apply(document, operations)
    except SangamError as error:
        result = {"status": error.status}
    assert isinstance(result, dict)
    assert json.encode([document, operations]) == before
