"""DICOMweb: search, retrieval and storage of instances over HTTP."""
