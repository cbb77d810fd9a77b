"""Query and retrieve: C-FIND, C-MOVE and C-GET, and the peers that use them.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#chapter_C
"""
