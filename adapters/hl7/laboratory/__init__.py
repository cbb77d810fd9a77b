"""What a laboratory owes to those who ordered: critical results, told and acknowledged."""
