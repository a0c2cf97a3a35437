"""Endpoints to FHIR: Observation, Provenance, Device, and the targets they are written to."""
