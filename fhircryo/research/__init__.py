"""A cohort for researchers: de-identified tables, statistics and a report."""
