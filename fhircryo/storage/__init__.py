"""Files that are complete or absent, private files, work folders, and who can change them."""
