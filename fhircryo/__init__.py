"""Treatment endpoints from a hospital's FHIR record."""

__version__ = "0.1.0"
