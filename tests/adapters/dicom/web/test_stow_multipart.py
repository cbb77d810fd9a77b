import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.dicom.web.stow_multipart import Begin, End, Malformed, Multipart, media_type

BODY = (
    b"a preamble\r\n--XX  \r\nContent-Type: a/b\r\nX: y\r\n z\r\n\r\nabc\r\n--XXY\r\n--X\r\r\n"
    b"--XX\r\n\r\n\r\n--XX\r\nA: b\r\n\r\n--XX\r\n\r\nq\r\n--XX--\r\nan epilogue\r\n--XX"
)
PARTS = [
    ({"content-type": "a/b", "x": "y z"}, b"abc\r\n--XXY\r\n--X\r"),
    ({}, b""),
    ({"a": "b"}, b""),
    ({}, b"q"),
]


def read(body: bytes, step: int, boundary: str = "XX") -> list[tuple[dict[str, str], bytes]]:
    reader = Multipart(boundary)
    parts: list[tuple[dict[str, str], bytes]] = []
    open_parts = 0
    pieces = [body[at : at + step] for at in range(0, len(body), step)]
    events = [event for piece in pieces for event in reader.feed(piece)]
    for event in [*events, *reader.close()]:
        if isinstance(event, Begin):
            parts.append((dict(event.headers), b""))
            open_parts += 1
        elif isinstance(event, End):
            open_parts -= 1
        else:
            parts[-1] = (parts[-1][0], parts[-1][1] + event)
    assert open_parts == 0
    return parts


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 11, 64, 1000])
def test_a_body_is_the_same_in_pieces_of_any_size(step: int) -> None:
    assert read(BODY, step) == PARTS


@settings(max_examples=50)
@given(
    st.lists(st.lists(st.sampled_from([b"\r", b"\n", b"-", b"X", b"\r\n--XX", b"q"]))),
    st.integers(1, 9),
)
def test_content_comes_back_as_it_was(contents: list[list[bytes]], step: int) -> None:
    # A delimiter inside of content, or right behind the headers' last line, is one: such content
    # cannot be sent with this boundary.
    lines = (b"\r\n" + b"".join(one) for one in contents)
    sent = [one.replace(b"\r\n--XX", b"\r\n--XY").removeprefix(b"\r\n") for one in lines]
    body = b"".join(b"\r\n--XX\r\n\r\n" + one for one in sent) + b"\r\n--XX--\r\n"
    if sent:
        assert [content for _, content in read(body, step)] == sent


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--XX",
        b"--XX\r\n\r\nabc",
        b"--XX\r\n\r\nabc\r\n--XX",
        b"--XX\r\n\r\nabc\r\n--XX-",
        b"--XX\r\n\r\nabc\r\n--XX\r\n",
        b"--XX\r\nno field\r\n\r\nabc\r\n--XX--",
        b"--XX\r\nA: " + b"b" * 20_000 + b"\r\n\r\nabc\r\n--XX--",
        b"--XX\r\nA: " + b"b" * 20_000,
    ],
    ids=range(9),
)
def test_a_body_that_is_cut_off_or_has_bad_header_fields_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        read(body, 100)


@pytest.mark.parametrize("boundary", ["", "a" * 71, "a\r\n", "a ", "ä"])
def test_a_boundary_has_70_characters_at_most(boundary: str) -> None:
    with pytest.raises(Malformed):
        Multipart(boundary)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("a/b", ("a/b", {})),
        ('A/B; type="application/dicom"; x=y', ("a/b", {"type": "application/dicom", "x": "y"})),
        ("a/b;type=application/dicom;x", ("a/b", {"type": "application/dicom"})),
        (r'a/b; x="a\"b;c"', ("a/b", {"x": 'a"b;c'})),
        ("nothing", ("", {})),
        ("", ("", {})),
    ],
)
def test_a_media_type_has_parameters_with_or_without_quotes(
    field: str, expected: tuple[str, dict[str, str]]
) -> None:
    assert media_type(field) == expected
