"""The endpoint definitions as tables that run: one row, one patient, one result."""
