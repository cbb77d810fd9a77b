"""The bytes of data sets: elements, values, character sets.

https://dicom.nema.org/medical/dicom/current/output/html/part05.html
"""
