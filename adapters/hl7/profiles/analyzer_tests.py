"""The tests that an analyzer does, and which of its codes means what is ordered."""

from typing import Any

from adapters.hl7.profiles.model import SourceProfile, target_of

Json = dict[str, Any]


class Tests:
    """The tests of an analyzer: which of its codes an order's code means.

    Without a list of tests in its profile, whatever is ordered is offered by its first
    code.
    """

    def __init__(self, profile: SourceProfile | None) -> None:
        self._listed = profile is not None and bool(profile.law.tests)
        self._codes: dict[tuple[str, str], str] = {}
        for test in profile.law.tests if profile else ():
            self._codes.setdefault((test.system, test.code), test.code)
            for order in test.orders:
                key = target_of(order)[:2] if "^" in order else ("", order)
                self._codes.setdefault(key, test.code)

    def code(self, request: Json) -> str:
        """Return the analyzer's code for what is ordered, "" where it does no such test."""
        codings = request.get("code", {}).get("coding", ())
        for one in codings:
            for system in (one.get("system", ""), ""):
                if found := self._codes.get((system, one.get("code", ""))):
                    return found
        if self._listed:
            return ""
        return next((one["code"] for one in codings if one.get("code")), "")
