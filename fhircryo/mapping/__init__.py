"""Codes to concepts, units, grades, instruments and protocols: YAML, validated on loading."""
