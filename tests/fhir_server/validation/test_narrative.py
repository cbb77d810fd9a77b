import pytest

from fhir_server.validation.narrative import Problem, problem

XHTML = "http://www.w3.org/1999/xhtml"
MALFORMED = Problem("invalid", "The narrative is not well-formed XML")
NOT_A_DIV = Problem("invalid", f"The narrative is not a div in the namespace {XHTML}")
ELEMENT = Problem("security", "The narrative has an element that is not allowed")
ATTRIBUTE = Problem("security", "The narrative has an attribute that is not allowed")
LINK = Problem("security", "The narrative has a link that would run")
DOCTYPE = Problem("security", "The narrative must not declare a document type")
INSTRUCTION = Problem("invalid", "The narrative must not have processing instructions")


def div(content: str) -> str:
    return f'<div xmlns="{XHTML}">{content}</div>'


@pytest.mark.parametrize(
    "narrative",
    [
        div("text"),
        div('<p class="a" style="color: red">x<br/><b>y</b></p>'),
        div("<p class='a'>single quotes</p>"),
        div('<table border="1"><tr><td colspan="2">x</td></tr></table>'),
        div('<a href="http://example.org/?a=1&amp;b=2">x</a><a href="#top">x</a>'),
        div('<a href="Patient/1">x</a><a href="urn:oid:1.2">x</a><a href="ftp://x">x</a>'),
        div('<img src="data:image/png;base64,AAAA" alt="x"/><img src="x.png"/>'),
        div("&lt;script&gt; &amp; &#169; &#xA9;"),
        div("&nbsp;&copy;"),
        div("<!-- a comment -->"),
        div('<span xml:lang="hi" lang="hi">नमस्ते</span>'),
        f'<x:div xmlns:x="{XHTML}"><x:p>prefixed</x:p></x:div>',
        f' \n<div\n xmlns="{XHTML}" >x</div>\n',
    ],
)
def test_what_the_specification_allows_is_accepted(narrative: str) -> None:
    assert problem(narrative) is None


@pytest.mark.parametrize(
    ("narrative", "expected"),
    [
        ("", MALFORMED),
        ("plain text", MALFORMED),
        (div("<p>"), MALFORMED),
        (div("<p></b></p>"), MALFORMED),
        (div("a < b"), MALFORMED),
        (div("&unknown;"), MALFORMED),
        (div('<p id="a" id="b"/>'), MALFORMED),
        (div("x") + div("y"), MALFORMED),
        (div("x") + "y", MALFORMED),
        ("<div>x</div>", NOT_A_DIV),
        ('<div xmlns="http://www.w3.org/1999/html">x</div>', NOT_A_DIV),
        (f'<p xmlns="{XHTML}">x</p>', NOT_A_DIV),
        (div("<script>x</script>"), ELEMENT),
        (div("<SCRIPT>x</SCRIPT>"), ELEMENT),
        (div("<form><input/></form>"), ELEMENT),
        (div("<iframe/>"), ELEMENT),
        (div("<style>x</style>"), ELEMENT),
        (div('<svg xmlns="http://www.w3.org/2000/svg"/>'), ELEMENT),
        (div('<p xmlns="urn:x"/>'), ELEMENT),
        (div('<p onclick="x">x</p>'), ATTRIBUTE),
        (div('<p ONCLICK="x">x</p>'), ATTRIBUTE),
        (div('<p data-x="x">x</p>'), ATTRIBUTE),
        (div('<a href="javascript:x">x</a>'), LINK),
        (div('<a href=" JavaScript:x">x</a>'), LINK),
        (div('<a href="java&#10;script:x">x</a>'), LINK),
        (div('<a href="&#106;avascript:x">x</a>'), LINK),
        (div('<a href="vbscript:x">x</a>'), LINK),
        (div('<a href="data:text/html,x">x</a>'), LINK),
        (div('<img src="data:image/svg+xml,x"/>'), LINK),
        (f"<!DOCTYPE div [<!ENTITY a 'x'>]>{div('&a;')}", DOCTYPE),
        (div("<?php x ?>"), INSTRUCTION),
    ],
)
def test_what_a_browser_might_run_or_cannot_read_is_refused(
    narrative: str, expected: Problem
) -> None:
    assert problem(narrative) == expected
