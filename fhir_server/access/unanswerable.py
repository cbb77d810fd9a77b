"""What cannot be told of a limit, so that nothing is let through by it."""


class UnanswerableError(Exception):
    """The limit cannot be compiled for this type: a parameter is unknown or not indexed."""
