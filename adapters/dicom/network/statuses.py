"""Statuses of responses that several services have.

https://dicom.nema.org/medical/dicom/current/output/html/part07.html#chapter_C
https://dicom.nema.org/medical/dicom/current/output/html/part04.html#table_B.2-1
https://dicom.nema.org/medical/dicom/current/output/html/part04.html#table_C.4-1
"""

from typing import Final

SUCCESS: Final = 0x0000
OPTIONAL_NOT_SUPPORTED: Final = 0x0001
INVALID_VALUE: Final = 0x0106
LIST_ERROR: Final = 0x0107
PROCESSING_FAILURE: Final = 0x0110
DUPLICATE_INSTANCE: Final = 0x0111
NO_SUCH_INSTANCE: Final = 0x0112
NO_SUCH_ARGUMENT: Final = 0x0114
INVALID_ARGUMENT: Final = 0x0115
OUT_OF_RANGE: Final = 0x0116
INVALID_INSTANCE: Final = 0x0117
NO_SUCH_CLASS: Final = 0x0118
CLASS_INSTANCE_CONFLICT: Final = 0x0119
MISSING_ATTRIBUTE: Final = 0x0120
MISSING_VALUE: Final = 0x0121
CLASS_NOT_SUPPORTED: Final = 0x0122
NO_SUCH_ACTION: Final = 0x0123
NOT_AUTHORIZED: Final = 0x0124
UNRECOGNIZED_OPERATION: Final = 0x0211
MISTYPED_ARGUMENT: Final = 0x0212
RESOURCE_LIMITATION: Final = 0x0213

OUT_OF_RESOURCES: Final = 0xA700
DOES_NOT_MATCH: Final = 0xA900
CANNOT_UNDERSTAND: Final = 0xC000
UNABLE_TO_PROCESS: Final = 0xC000
CANCELLED: Final = 0xFE00
PENDING: Final = 0xFF00
