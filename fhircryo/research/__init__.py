"""What researchers get of a cohort: tables, de-identified, with statistics and a report."""
