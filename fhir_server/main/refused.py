"""The refusal of what cannot be started or carried out as it is set."""


class Refused(Exception):
    """The server does not start; the text says what to do."""
