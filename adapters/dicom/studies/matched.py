"""How a study was matched with its patient."""

from typing import Final

LINKED: Final = "linked"
CREATED: Final = "created"
CHOSEN: Final = "chosen"
"""By an operator."""
PHANTOM: Final = "phantom"
HELD: Final = "held"
"""No Patient has its id."""
CONFLICT: Final = "conflict"
"""The Patient that was found contradicts it."""
AMBIGUOUS: Final = "ambiguous"
"""Several Patients have its id."""
ANONYMOUS: Final = "anonymous"
"""Its id names nobody."""
MIXED: Final = "mixed"
"""Its instances name several."""

UNMATCHED: Final = frozenset((HELD, CONFLICT, AMBIGUOUS, ANONYMOUS, MIXED))
"""With these a study waits for an operator: it is nobody's as far as FHIR is concerned."""
