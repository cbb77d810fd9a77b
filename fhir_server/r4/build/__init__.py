"""The build step that turns the official R4 package into one compact artefact.

https://hl7.org/fhir/R4/downloads.html
"""
