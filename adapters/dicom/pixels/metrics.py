"""What the operator sees of rendering in numbers."""

from typing import Final

from prometheus_client import Counter, Histogram

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

render_seconds = Histogram(
    "dicom_render_seconds", "Time to make a picture, waiting included.", buckets=_SECONDS
)
not_shown = Counter(
    "dicom_render_refused", "Pictures that could not be made.", ("syntax", "reason")
)
thumbnails = Counter("dicom_thumbnails", "Thumbnails by whether they were kept.", ("kept",))
