"""SNOMED CT's Expression Constraint Language."""
