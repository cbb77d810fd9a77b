"""How this implementation names itself to peers and in file meta information.

https://dicom.nema.org/medical/dicom/current/output/html/part07.html#sect_D.3.3.2
"""

# 2.25 and the UUID 0f1faee3-016c-4a71-81e9-3e9a788ba16a as a decimal (PS3.5, B.2).
CLASS_UID = "2.25.20102928263892644426002571682764267882"
VERSION_NAME = "SANGAM_0_1"
