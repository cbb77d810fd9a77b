"""Expected answers of the suite against actual ones."""

import re
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]

MANAGED = re.compile(
    r"http://hl7\.org/fhir/(test/|5\.0/StructureDefinition/|StructureDefinition/("
    r"codesystem-alternate|codesystem-conceptOrder|codesystem-label|coding-sctdescid|itemWeight|"
    r"rendering-style|rendering-xhtml|valueset-concept-definition|valueset-deprecated|"
    r"valueset-label|valueset-conceptOrder|valueset-supplement|"
    r"structuredefinition-standards-status|valueset-expansion-parameter|translation|"
    r"valueset-unclosed|valueset-unclosed-reason|operationoutcome-message-id|"
    r"alternate-code-use|alternate-code-status)$)"
)
TEMPLATES = {
    "$id$": r"[A-Za-z0-9\-.]{1,64}",
    "$token$": r"[0-9A-Za-z_][0-9A-Za-z_.\-]*",
    "$url$": r"https?://\S+",
    "$uuid$": r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "$instant$": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
    "$date$": r"\d{4}-\d\d-\d\d(T.*)?",
    "$semver$": r"\d+\.\d+\.\d+.*",
    "$version$": r"4\.0\.1",
}
FHIR_VERSION = "4"


def scrub(value: Any, parent: str = "", *, compose: bool = False) -> Any:
    """The answer without what the suite does not judge.

    `location` repeats `expression` in R4 (OperationOutcome.issue); the suite expects it in some
    files and not in others, so it is left out of both sides.
    """
    if isinstance(value, list):
        kept = [one for one in value if parent != "extension" or compose or managed(one)]
        kept = [one for one in kept if not _is_noise(one, parent)]
        return [scrub(one, parent, compose=compose) for one in kept]
    if not isinstance(value, dict):
        return value
    hidden = {"meta"} | ({"text"} if "resourceType" in value else set())
    if parent == "issue":
        hidden |= {"location", "diagnostics"}
    out = {}
    for key, member in value.items():
        if key in hidden:
            continue
        kept = scrub(member, key, compose=compose or key == "compose")
        if kept not in ([], {}):
            out[key] = kept
    return out


def managed(extension: Json) -> bool:
    """True for an extension that the suite judges."""
    url = extension.get("url", "")
    return ":" not in url or MANAGED.match(url) is not None


def _is_noise(one: object, parent: str) -> bool:
    if not isinstance(one, dict):
        return False
    if parent == "issue":
        return "diagnostics" in one and "details" not in one
    return parent == "parameter" and one.get("name") == "diagnostics"


class Comparison:
    """Compares in the modes that are on; `pattern` ignores what is not expected."""

    def __init__(self, modes: frozenset[str] = frozenset(), *, pattern: bool = False) -> None:
        self.modes, self.pattern = modes, pattern

    def difference(self, expected: Any, actual: Any, path: str = "") -> str | None:
        """Where the two differ, in words; None when they agree."""
        if isinstance(expected, dict):
            if not isinstance(actual, dict):
                return f"{path}: an object is expected"
            return self._objects(expected, actual, path)
        if isinstance(expected, list):
            if not isinstance(actual, list):
                return f"{path}: an array is expected"
            return self._arrays(expected, actual, path)
        if isinstance(expected, str) and isinstance(actual, str):
            if path.endswith(".message"):
                expected, actual = _sorted(expected), _sorted(actual)
            return None if same(expected, actual) else f"{path}: {actual!r}, not {expected!r}"
        if isinstance(expected, bool) or isinstance(actual, bool):
            equal = expected is actual
        else:
            equal = str(expected) == str(actual)
        return None if equal else f"{path}: {actual!r}, not {expected!r}"

    def _objects(self, expected: Json, actual: Json, path: str) -> str | None:
        optional = set(expected.get("$optional-properties$", ()))
        counted = set(expected.get("$count-arrays$", ()))
        named = {key for key in expected if not key.startswith("$")}
        if not self.pattern and "*" not in optional:
            extra = actual.keys() - named - optional
            if extra:
                return f"{path}: {sorted(extra)} not expected"
        message = expected.get("name") == "message"
        for key in sorted(named):
            place = f"{path}.message" if message and key == "valueString" else f"{path}.{key}"
            if key not in actual:
                if key in optional or self._is_optional(expected[key]):
                    continue
                return f"{place}: missing, {str(expected[key])[:200]}"
            if key in counted:
                found = len(expected[key]) == len(actual[key])
                difference = None if found else f"{place}: another length"
            else:
                difference = self.difference(expected[key], actual[key], place)
            if difference:
                return difference
        return None

    def _is_optional(self, value: object) -> bool:
        """True for what has no mandatory part."""
        if isinstance(value, dict):
            return self._active(value)
        if isinstance(value, list):
            return all(isinstance(one, dict) and self._active(one) for one in value)
        return False

    def _active(self, item: Json) -> bool:
        switch = item.get("$optional$", False)
        if isinstance(switch, bool):
            return switch
        if switch.startswith("!"):
            return switch[1:] not in self.modes
        if switch.startswith("warning:"):
            return True
        if switch.startswith("version:"):
            return FHIR_VERSION.startswith(switch.removeprefix("version:"))
        return switch in self.modes

    def _arrays(self, expected: list[Any], actual: list[Any], path: str) -> str | None:
        left = list(actual)
        for one in expected:
            place = f"{path}[{_label(one)}]"
            found = next((a for a in left if self.difference(one, a, place) is None), None)
            if found is not None:
                left.remove(found)
            elif not (isinstance(one, dict) and self._active(one)):
                near = [a for a in left if _label(a) == _label(one)]
                reason = self.difference(one, near[0], place) if near else None
                return reason or f"{place}: missing, {str(one)[:400]}"
        if left and not self.pattern:
            return f"{path}: not expected {str(left[0])[:500]}"
        return None


def _label(one: object) -> str:
    if not isinstance(one, dict):
        return str(one)
    if "severity" in one:
        ids = [e.get("valueString") for e in one.get("extension", [])]
        return str(ids[0]) if ids else str(one.get("code"))
    return str(one.get("name") or one.get("code") or one.get("url") or "")


def _sorted(message: str) -> str:
    if message.startswith("$"):
        return message
    return "; ".join(sorted(message.split("; ")))


def same(expected: str, actual: str) -> bool:
    """True when the text is the expected one, or an instance of its template."""
    if expected in (actual, "$$"):
        return True
    if expected == "$string$":
        return actual == actual.strip() != ""
    if expected in TEMPLATES:
        return re.fullmatch(TEMPLATES[expected], actual) is not None
    for prefix, check in CHECKS.items():
        if expected.startswith(prefix) and expected.endswith("$"):
            return check(expected.removeprefix(prefix)[:-1], actual)
    if "<div" in expected and "<div" in actual:
        return True
    return _letters(expected) == _letters(actual)


def _has_fragments(listed: str, actual: str) -> bool:
    return all(one.lower() in actual.lower() for one in listed.split("|"))


def _is_external(listed: str, actual: str) -> bool:
    _, _, fragments = listed.partition(":")
    # An url|version holds the separator, so the text may have the whole or the parts.
    return fragments in actual or _has_fragments(fragments, actual)


CHECKS: dict[str, Callable[[str, str], bool]] = {
    "$choice:": lambda listed, actual: actual in listed.split("|"),
    "$fragments:": _has_fragments,
    "$external:": _is_external,
}


def _letters(text: str) -> str:
    """What a lenient base64 decoder reads, as which the suite's runner tries every text."""
    return re.sub(r"[^A-Za-z0-9+/]", "", text)
