"""Extracts items of the patient record from FHIR resources, one module per resource type."""
