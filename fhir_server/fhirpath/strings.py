"""Functions on strings.

https://hl7.org/fhirpath/N1/#string-manipulation
"""

import base64
import binascii
import html
import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import re2

from fhir_server.fhirpath.collections import Function
from fhir_server.fhirpath.evaluation import Evaluation
from fhir_server.fhirpath.refusal import Misuse
from fhir_server.fhirpath.values import EMPTY, Items, integer, some, text

_JSON_ESCAPE: Final = re.compile(r"\\(?:u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_REGEX_MEMORY: Final = 2 << 20


@lru_cache(maxsize=128)
def pattern(regex: str) -> Any:  # noqa: ANN401  (re2 is published without types)
    """Return a pattern that runs in linear time; `.` matches line breaks. Misuse for none."""
    options = re2.Options()
    options.dot_nl = True
    options.log_errors = False
    options.max_mem = _REGEX_MEMORY
    try:
        return re2.compile(regex, options=options)
    except re2.error:
        raise Misuse("the regular expression cannot be used") from None


def _on_text(work: Callable[..., Any]) -> Function:
    """Return a function of one string and strings; without one of them it gives nothing."""

    def run_on(run: Evaluation, items: Items, *arguments: Items) -> Items:
        subject = text(items)
        others = [text(argument) for argument in arguments]
        if subject is None or None in others:
            return EMPTY
        run.spend_text(len(subject))
        result = work(run, subject, *others)
        return result if type(result) is list else some(result)

    return run_on


def _substring(_: Evaluation, items: Items, start: Items, length: Items = EMPTY) -> Items:
    subject, first = text(items), integer(start)
    if subject is None or first is None or not 0 <= first < len(subject):
        return EMPTY
    count = integer(length)
    return [subject[first:] if count is None else subject[first : first + max(0, count)]]


def _matches(_: Evaluation, subject: str, regex: str) -> bool:
    return pattern(regex).search(subject) is not None


def _matches_full(_: Evaluation, subject: str, regex: str) -> bool:
    return pattern(regex).fullmatch(subject) is not None


def _replace(run: Evaluation, subject: str, old: str, new: str) -> str:
    run.spend_text(len(subject) + (subject.count(old) + 1) * len(new))
    return subject.replace(old, new)


def _replace_matches(run: Evaluation, subject: str, regex: str, new: str) -> str:
    if not regex:
        return subject
    run.spend_text((len(subject) + 1) * (len(new) + 1))
    found: str = pattern(regex).sub(_template(new), subject)
    return found


def _template(new: str) -> str:
    """Return a replacement with `$1` written as re2 writes it."""
    return str(pattern(r"\$(\d)").sub(r"\\\1", new.replace("\\", "\\\\")))


def _join(run: Evaluation, items: Items, separator: Items = EMPTY) -> Items:
    parts = [text([item]) or "" for item in items]
    between = text(separator) or ""
    run.spend_text(sum(map(len, parts)) + len(between) * len(parts))
    return [between.join(parts)] if parts else EMPTY


def _split(run: Evaluation, subject: str, separator: str) -> list[str]:
    parts = subject.split(separator) if separator else list(subject)
    run.spend(len(parts))
    return parts


def _characters(run: Evaluation, subject: str) -> list[str]:
    run.spend(len(subject))
    return list(subject)


def _encode(_: Evaluation, subject: str, form: str) -> str | None:
    raw = subject.encode()
    if form == "hex":
        return raw.hex()
    if form == "base64":
        return base64.b64encode(raw).decode()
    return base64.urlsafe_b64encode(raw).decode() if form == "urlbase64" else None


def _decode(_: Evaluation, subject: str, form: str) -> str | None:
    try:
        if form == "hex":
            return bytes.fromhex(subject).decode()
        if form == "base64":
            return base64.b64decode(subject, validate=True).decode()
        return base64.urlsafe_b64decode(subject).decode() if form == "urlbase64" else None
    except (ValueError, binascii.Error):
        return None


def _escape(_: Evaluation, subject: str, form: str) -> str | None:
    if form == "html":
        return html.escape(subject, quote=True)
    return json.dumps(subject, ensure_ascii=False)[1:-1] if form == "json" else None


def _unescape(_: Evaluation, subject: str, form: str) -> str | None:
    if form == "html":
        return html.unescape(subject)
    return _JSON_ESCAPE.sub(_unescaped, subject) if form == "json" else None


def _unescaped(found: re.Match[str]) -> str:
    try:
        return str(json.loads(f'"{found[0]}"'))
    except ValueError:
        return found[0]


FUNCTIONS: Final[Mapping[str, tuple[Function, int, int]]] = {
    "indexOf": (_on_text(lambda _, subject, part: subject.find(part)), 1, 1),
    "lastIndexOf": (_on_text(lambda _, subject, part: subject.rfind(part)), 1, 1),
    "substring": (_substring, 1, 2),
    "startsWith": (_on_text(lambda _, subject, part: subject.startswith(part)), 1, 1),
    "endsWith": (_on_text(lambda _, subject, part: subject.endswith(part)), 1, 1),
    "contains": (_on_text(lambda _, subject, part: part in subject), 1, 1),
    "upper": (_on_text(lambda _, subject: subject.upper()), 0, 0),
    "lower": (_on_text(lambda _, subject: subject.lower()), 0, 0),
    "trim": (_on_text(lambda _, subject: subject.strip()), 0, 0),
    "length": (_on_text(lambda _, subject: len(subject)), 0, 0),
    "matches": (_on_text(_matches), 1, 1),
    "matchesFull": (_on_text(_matches_full), 1, 1),
    "replace": (_on_text(_replace), 2, 2),
    "replaceMatches": (_on_text(_replace_matches), 2, 2),
    "toChars": (_on_text(_characters), 0, 0),
    "split": (_on_text(_split), 1, 1),
    "join": (_join, 0, 1),
    "encode": (_on_text(_encode), 1, 1),
    "decode": (_on_text(_decode), 1, 1),
    "escape": (_on_text(_escape), 1, 1),
    "unescape": (_on_text(_unescape), 1, 1),
}
