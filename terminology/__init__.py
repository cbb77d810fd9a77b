"""The terminology library."""
