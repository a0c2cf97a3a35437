"""The command line: each module reads a command's arguments, makes one call, prints the result."""
