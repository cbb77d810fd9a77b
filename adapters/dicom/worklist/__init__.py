"""The modality worklist: what is scheduled, as modalities ask for it.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#chapter_K
"""
