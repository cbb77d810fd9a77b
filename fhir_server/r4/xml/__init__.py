"""The XML representation.

https://hl7.org/fhir/R4/xml.html
"""

from fhir_server.r4.xml.read import from_xml
from fhir_server.r4.xml.write import to_xml

__all__ = ["from_xml", "to_xml"]
