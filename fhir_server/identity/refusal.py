"""A refusal as OAuth writes it: an error code, and a sentence for the developer.

https://www.rfc-editor.org/rfc/rfc6749#section-5.2
"""


class Refusal(Exception):
    """What an app is told instead of a token or a code; nothing that was sent is quoted."""

    def __init__(self, error: str, text: str, *, status: int = 400) -> None:
        super().__init__(text)
        self.error = error
        self.text = text
        self.status = status
