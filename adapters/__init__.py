"""Adapters that bring other protocols to FHIR by the server's own interactions."""
