"""The composition root: command line, supervisor, wiring. Nothing imports it."""

import atexit
import gc

# What is imported stays, and all of it was looked through for garbage again and again while
# it came: a quarter of what each command and each process of the server takes to start.
gc.set_threshold(50_000, 20, 50)
# And once more, several times, as the process ends: a fifth of what a command takes.
atexit.register(gc.freeze)
