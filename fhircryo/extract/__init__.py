"""FHIR resources to model items, a module per resource type."""
