"""One evaluation of an expression: what it sees of its surroundings, and what it may cost."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Final

from fhir_server.fhirpath.model import Model
from fhir_server.fhirpath.quantity import Unit, Units
from fhir_server.fhirpath.refusal import too_costly
from fhir_server.fhirpath.temporal import now_utc
from fhir_server.fhirpath.values import Item, Items, Node

MAX_STEPS: Final = 1_000_000
MAX_ITEMS: Final = 100_000
MAX_TEXT: Final = 1_048_576
MAX_SECONDS: Final = 2.0
_BETWEEN_LOOKS: Final = 2_000


def _no_unit(code: str) -> Unit | None:  # noqa: ARG001
    return None


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What an expression may ask of the server; absent ones answer nothing.

    `resolve` returns the resource of a reference's text. `member_of` and
    `conforms_to` return None where they do not know the value set or profile.
    `units` finds a unit of UCUM by its code. `trace` is told what `trace()` sees.
    """

    resolve: Callable[[str], dict[str, Item] | None] | None = None
    member_of: Callable[[Node, str], bool | None] | None = None
    conforms_to: Callable[[Node, str], bool | None] | None = None
    units: Units = _no_unit
    now: Callable[[], datetime] = now_utc
    trace: Callable[[str, Items], None] | None = None


class Evaluation:
    """The environment of one run: variables, callbacks, `$index`, `$total`, the budget."""

    __slots__ = (
        "_deadline",
        "_look",
        "_steps",
        "callbacks",
        "context",
        "index",
        "model",
        "resource",
        "root",
        "started",
        "strict",
        "total",
        "variables",
    )

    def __init__(
        self,
        model: Model,
        callbacks: Callbacks,
        *,
        context: Items,
        resource: Node | None,
        root: Node | None,
        variables: Mapping[str, Items],
        strict: bool,
    ) -> None:
        self.model = model
        self.callbacks = callbacks
        self.context = context
        self.resource = resource
        self.root = root
        self.variables = variables
        self.strict = strict
        self.index = 0
        self.total: Items = []
        self.started: datetime | None = None
        self._steps = MAX_STEPS
        self._look = MAX_STEPS - _BETWEEN_LOOKS
        self._deadline: float | None = None

    def now(self) -> datetime:
        """Return the moment of this evaluation, the same at each call."""
        if self.started is None:
            self.started = self.callbacks.now()
        return self.started

    def spend(self, steps: int) -> None:
        """Take steps off the budget; Unprocessable when it or the time is used up."""
        self._steps -= steps
        if self._steps < self._look:
            self._look_around(steps)

    def spend_text(self, length: int) -> None:
        """Take what making a text costs off the budget; Unprocessable where it is too long."""
        if length > MAX_TEXT:
            raise too_costly(f"a text has at most {MAX_TEXT} characters")
        self.spend(length >> 6)

    def _look_around(self, steps: int) -> None:
        if steps > MAX_ITEMS:
            raise too_costly(f"a collection has at most {MAX_ITEMS} items")
        if self._steps < 0:
            raise too_costly(f"an evaluation takes at most {MAX_STEPS} steps")
        if self._deadline is None:
            self._deadline = monotonic() + MAX_SECONDS
        elif monotonic() > self._deadline:
            raise too_costly(f"an evaluation takes at most {MAX_SECONDS:g} seconds")
        self._look = self._steps - _BETWEEN_LOOKS
