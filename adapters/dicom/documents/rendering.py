"""A content tree for reading, as HTML and as plain text: every item, in its order.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_C.17.3.2.4
"""

from html import escape

from adapters.dicom.dataset.attributes import Attributes, items, text
from adapters.dicom.dataset.names import display
from adapters.dicom.documents.tree import Item, label
from adapters.dicom.documents.values import shown

_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;margin:2em;max-width:50em;color:#1a1a1a}"
    "ul{list-style:none;padding-left:1.2em;border-left:1px solid #d8d8d8}"
    "li{margin:.2em 0;white-space:pre-line}b{font-weight:600}i{color:#666;font-style:normal}"
    "dl{display:grid;grid-template-columns:max-content auto;gap:.1em 1em}dt{color:#666}dd{margin:0}"
)
_RELATIONS = frozenset(("", "CONTAINS"))


def html(document: Attributes, root: Item) -> str:
    """Return an HTML page; it has no script and refers to nothing.

    Each item is an element with the id `item-<position>`.
    """
    title = escape(label(root) or "Structured Report")
    facts = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in _facts(document))
    parts = [
        '<!DOCTYPE html><html><head><meta charset="utf-8">',
        f"<title>{title}</title><style>{_STYLE}</style></head><body>",
        f'<h1 id="item-{root.place}">{title}</h1><dl>{facts}</dl>',
    ]
    # What is left to write: an item to open, or text that closes what was opened.
    ahead: list[Item | str] = _inside(root)
    while ahead:
        one = ahead.pop()
        if isinstance(one, str):
            parts.append(one)
            continue
        parts.append(f'<li id="item-{one.place}">{_line(one)}')
        ahead.append("</li>")
        ahead.extend(_inside(one))
    parts.append("</body></html>")
    return "".join(parts)


def _inside(item: Item) -> list[Item | str]:
    """Return what is to be written of an item's children, the last first."""
    if not item.children:
        return []
    return ["</ul>", *reversed(item.children), "<ul>"]


def _line(item: Item) -> str:
    relation = "" if item.relationship in _RELATIONS else f"<i>{escape(item.relationship)}</i> "
    name = f"<b>{escape(label(item))}</b>" if label(item) else ""
    value = escape(shown(item))
    return f"{relation}{name}{': ' if name and value else ''}{value}"


def plain(document: Attributes, root: Item) -> str:
    """Return text, a line for each item, indented by its level."""
    lines = [label(root) or "Structured Report"]
    lines += [f"{key}: {value}" for key, value in _facts(document)]
    for item in root.walk():
        if item is root:
            continue
        relation = "" if item.relationship in _RELATIONS else f"({item.relationship}) "
        indent = "  " * (len(item.position) - 2)
        said = ": ".join(part for part in (label(item), shown(item)) if part)
        lines.append(f"{indent}{item.place[2:]} {relation}{said}".rstrip())
    return "\n".join(lines) + "\n"


def _facts(document: Attributes) -> list[tuple[str, str]]:
    observers = [
        ", ".join(
            part
            for part in (
                display(text(one, "VerifyingObserverName")),
                text(one, "VerifyingOrganization"),
                text(one, "VerificationDateTime"),
            )
            if part
        )
        for one in items(document, "VerifyingObserverSequence")
    ]
    flags = [text(document, key) for key in ("PreliminaryFlag", "CompletionFlag")]
    flags += [text(document, "VerificationFlag"), text(document, "CompletionFlagDescription")]
    facts = [
        ("Patient", display(text(document, "PatientName"))),
        ("Patient ID", text(document, "PatientID")),
        ("Birth date", text(document, "PatientBirthDate")),
        ("Study", text(document, "StudyDescription")),
        ("Study date", text(document, "StudyDate")),
        ("Accession number", text(document, "AccessionNumber")),
        ("Status", ", ".join(flag for flag in flags if flag)),
        *(("Verified by", one) for one in observers),
    ]
    return [(key, value) for key, value in facts if value]
