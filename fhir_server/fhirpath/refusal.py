"""What is wrong with an expression or its evaluation: a place in its text, never data."""

from fhir_server.errors import BadRequest, Unprocessable


class Misuse(Exception):
    """An operator or function was given what it does not take; the caller knows the place."""


def misread(text: str, at: int) -> BadRequest:
    """Return the refusal of an expression; `at` counts characters from 0."""
    return BadRequest(f"FHIRPath: {text}, at character {at + 1}")


def too_costly(text: str) -> Unprocessable:
    """Return the refusal of an expression or evaluation that goes over a limit."""
    return Unprocessable(f"FHIRPath: {text}", code="too-costly")
