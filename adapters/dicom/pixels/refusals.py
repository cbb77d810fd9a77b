"""The ways in which a frame cannot be shown."""

from fhir_server.errors import BadRequest, NotAcceptable, NotFound, SangamError, Unavailable


class NoPixels(NotFound):
    """The instance has no pixels."""


class NoFrame(NotFound):
    """The instance has fewer frames, or its pixel data ended before this one."""


class NotShown(NotAcceptable):
    """The pixels are there and cannot be shown: no decoder, or they are broken or too many."""


BY_NAME: dict[str, type[SangamError]] = {
    one.__name__: one for one in (BadRequest, NoPixels, NoFrame, NotShown, Unavailable)
}
"""The refusals by the name under which a worker reports them."""
