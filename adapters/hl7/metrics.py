"""What the operator sees of the HL7 adapter in numbers; no label holds patient data."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

received = Counter("hl7_received", "Messages received.", ("channel", "type"))
acknowledged = Counter("hl7_ack", "Acknowledgements sent.", ("code",))
store_seconds = Histogram("hl7_store_seconds", "Time of a group commit.", buckets=_SECONDS)
map_seconds = Histogram("hl7_map_seconds", "Time to parse and map a message.", buckets=_SECONDS)
commit_seconds = Histogram("hl7_commit_seconds", "Time of a FHIR transaction.", buckets=_SECONDS)
processed = Counter("hl7_processed", "Messages that reached FHIR.", ("channel",))
dead = Counter("hl7_dead", "Messages that could not be taken or mapped.", ("reason",))
duplicates = Counter("hl7_duplicates", "Messages sent again with the same bytes.")
reused = Counter("hl7_control_id_reused", "Messages that reuse the control id of another.")
frame_errors = Counter("hl7_frame_errors", "Pieces of the stream that were no frame.", ("kind",))
connections = Gauge("hl7_connections", "Open MLLP connections.")
