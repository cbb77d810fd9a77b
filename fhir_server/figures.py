"""Gauges of what waits in the database, read when they are asked for.

prometheus_client keeps a Gauge of a process that shares metrics with others in a file, which
every later scrape would tell again beside the present value, and which `inc` would add to.

https://prometheus.github.io/client_python/multiprocess/
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


@dataclass(slots=True)
class Value:
    """A number of a figure."""

    now: float = 0.0

    def set(self, value: float) -> None:
        """Make it another one."""
        self.now = float(value)

    def inc(self, amount: float = 1.0) -> None:
        """Add to it."""
        self.now += float(amount)


class Figure(Collector):
    """A gauge of one registry; without `labels` it is one number, which is 0 until it is set."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str] = (), *, registry: CollectorRegistry
    ) -> None:
        self._name = name
        self._text = text
        self._labels = tuple(labels)
        self._values: dict[tuple[str, ...], Value] = {} if labels else {(): Value()}
        registry.register(self)

    def labels(self, *values: str) -> Value:
        """Return the number with these values of the labels."""
        return self._values.setdefault(values, Value())

    def set(self, value: float) -> None:
        """Make the one number another one."""
        self._values[()].set(value)

    def inc(self, amount: float = 1.0) -> None:
        """Add to the one number."""
        self._values[()].inc(amount)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield all numbers of the figure."""
        family = GaugeMetricFamily(self._name, self._text, labels=self._labels)
        for values, value in self._values.items():
            family.add_metric(values, value.now)
        yield family
