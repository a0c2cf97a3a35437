"""Files that are whole or absent: atomic writes, private files, work folders."""
