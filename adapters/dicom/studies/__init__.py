"""Studies as FHIR resources."""
