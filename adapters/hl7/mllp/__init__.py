"""HL7 v2 over TCP by the Minimal Lower Layer Protocol.

https://www.hl7.org/implement/standards/product_brief.cfm?product_id=55
"""
