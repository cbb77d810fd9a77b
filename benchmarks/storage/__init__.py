"""The comparison of index layouts behind docs/decisions/0002."""
