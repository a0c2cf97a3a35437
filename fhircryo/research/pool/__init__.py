"""Cohort folders of several hospitals as one."""
