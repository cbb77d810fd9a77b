"""What senders are told of their messages.

HL7 v2.9 chapter 2, section 2.9.
"""
