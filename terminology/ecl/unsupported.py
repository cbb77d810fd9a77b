"""What of the language is not evaluated."""


class UnsupportedEcl(Exception):
    """A part of the language that is not evaluated, by its name."""
