"""A page to look at: one file that opens offline, its figures also as files."""
