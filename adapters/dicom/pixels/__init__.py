"""Frames of stored instances as a screen shows them."""
