"""A HAPI FHIR server for tests: fetched by Maven, started as a process, its data in memory."""
