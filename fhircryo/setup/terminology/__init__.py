"""The code systems, value sets and concept maps of fhircryo as FHIR resources."""
