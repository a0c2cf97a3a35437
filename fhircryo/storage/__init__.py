"""Files that are complete or absent: atomic writes, private files, work folders."""
