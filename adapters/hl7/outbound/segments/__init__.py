"""Segments made of FHIR resources; nothing here does I/O."""
