"""Senders as labels of metrics."""

import pytest

from adapters.hl7 import metrics


def test_senders_make_no_labels_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_labelled", set())
    monkeypatch.setattr(metrics, "_MOST_SENDERS", 2)
    named = [metrics.sender_label(name) for name in ("A", "B", "A", "C", "B")]
    assert named == ["A", "B", "A", "other", "B"]
