"""Modality performed procedure steps: what modalities say of what they do.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#chapter_F
"""
