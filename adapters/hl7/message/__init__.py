"""The text of HL7 v2: bytes to segments, fields and components.

HL7 v2.9 chapter 2, https://www.hl7.org/implement/standards/product_brief.cfm?product_id=516
"""
