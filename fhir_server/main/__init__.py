"""The composition root: command line, supervisor, wiring. Nothing imports it."""
