"""Logs: one line each, to standard error, without patient data."""

import logging
import sys

FORMAT = "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"


def configure() -> None:
    """Send the log of this process to standard error."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format=FORMAT, force=True)
    for name in ("fhir_server", "adapters", "terminology"):
        logging.getLogger(name).setLevel(logging.INFO)
