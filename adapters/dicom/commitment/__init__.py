"""Storage commitment: who sent instances learns whether they are safe here.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#chapter_J
"""
