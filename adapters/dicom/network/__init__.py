"""Associations and messages.

https://dicom.nema.org/medical/dicom/current/output/html/part08.html
"""
