"""PatientRecord + Protocol + as-of to endpoints: pure, no I/O, no clock, no FHIR."""
