"""Bulk export: reads a server's resources as files.

Source: https://hl7.org/fhir/uv/bulkdata/export.html
"""
