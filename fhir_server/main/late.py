"""What is imported when it is needed first, by its name as data.

A command needs little of the server, and the supervisor next to nothing: importing all of it
takes seconds of a processor, which each `sangam status` and each start would pay for.
"""

import importlib
from typing import Any


def found(place: str) -> Any:  # noqa: ANN401  (whatever is there)
    """Return what is in a module by a name: `fhir_server.main.status:overview`."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
