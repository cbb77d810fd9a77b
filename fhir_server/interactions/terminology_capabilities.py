"""What this server knows of code systems and expansions.

https://hl7.org/fhir/R4/terminologycapabilities.html
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from importlib.metadata import version

from fhir_server.interactions.capabilities import DATE, Statement, written
from fhir_server.server import Server
from terminology.capabilities import terminology_capabilities

# Parameters of an expansion that the server takes beside those of the library.
OURS = ({"name": "cache-id"}, {"name": "context"})
Known = tuple[tuple[str, tuple[str, ...]], ...]


async def statement(server: Server) -> Statement:
    """Return the TerminologyCapabilities, which lists every code system with content."""
    found: Mapping[str, Sequence[str]] = await server.vocabulary.systems()
    return _made(server.base, tuple((url, tuple(known)) for url, known in found.items()))


@lru_cache(maxsize=4)
def _made(base: str, known: Known) -> Statement:
    release = version("sangam")
    date = datetime.fromisoformat(f"{DATE}T00:00:00+00:00")
    told = terminology_capabilities(dict(known), release, date)
    parameters = sorted([*told["expansion"]["parameter"], *OURS], key=lambda one: str(one["name"]))
    told = {**told, "expansion": {**told["expansion"], "parameter": parameters}}
    url = {"url": f"{base}/metadata?mode=terminology"}
    software = {"software": {"name": "Sangam", "version": release}}
    about = {"implementation": {"description": "Sangam FHIR R4 server", "url": base}}
    return written({"resourceType": told["resourceType"], **url, **told, **software, **about})
