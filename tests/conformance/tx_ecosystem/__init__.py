"""A runner of HL7's terminology test suite (tx-ecosystem), in process."""
