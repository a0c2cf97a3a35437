"""The profiles of what is published, and the FHIR package that holds them."""
