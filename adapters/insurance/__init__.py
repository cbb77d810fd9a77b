"""Claims and eligibility."""
