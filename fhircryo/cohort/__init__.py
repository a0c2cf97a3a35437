"""What researchers get of a cohort."""
