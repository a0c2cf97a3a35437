"""The command line: one module per command, arguments in, one call, words out."""
