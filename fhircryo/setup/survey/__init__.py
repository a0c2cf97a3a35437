"""Surveys the codes in a source, and suggests how to map them. It never changes a mapping."""
