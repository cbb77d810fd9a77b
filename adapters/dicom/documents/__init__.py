"""Structured reports and encapsulated documents as FHIR resources."""
