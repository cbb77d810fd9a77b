"""DICOM services: images arrive by C-STORE and become ImagingStudy resources."""
