"""Computes endpoints from a patient record, a protocol and the as-of date.

The computation is pure: it does no I/O, reads no clock and knows nothing of FHIR.
"""
