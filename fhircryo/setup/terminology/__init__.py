"""Our code systems, value sets and concept maps as FHIR."""
