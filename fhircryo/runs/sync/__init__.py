"""Sync runs: bring a target server up to date with a source server, on a schedule.

The state of a sync run holds identifiers and versions, and no clinical value.
"""
