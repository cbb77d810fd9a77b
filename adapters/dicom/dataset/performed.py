"""The statuses of a performed procedure step, (0040,0252).

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_C.4.14
"""

from typing import Final

IN_PROGRESS: Final = "IN PROGRESS"
COMPLETED: Final = "COMPLETED"
DISCONTINUED: Final = "DISCONTINUED"
