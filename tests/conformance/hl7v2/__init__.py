"""Readers of public HL7 v2 mappings and messages."""
