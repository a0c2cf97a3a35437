"""Runs from end to end: compute to a folder, to a server or in memory; scheduled runs; drivers."""
