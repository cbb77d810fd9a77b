"""Copies of instances for export from which the patient cannot be told.

https://dicom.nema.org/medical/dicom/current/output/html/part15.html#chapter_E
"""
