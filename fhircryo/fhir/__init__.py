"""Speaks FHIR and knows no oncology: folders of NDJSON, dates, wire structs."""
