"""The FHIR layer: client, authentication, bulk export, wire structs, dates; no oncology."""
