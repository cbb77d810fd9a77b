"""Names of the arrays that pixels are held in."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]
"""Stored or computed values: rows x columns, or rows x columns x samples."""

Shown = NDArray[np.uint8]
"""What a screen shows, 0 to 255: rows x columns, or rows x columns x 3 (RGB)."""
