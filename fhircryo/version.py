"""The version of the program; every published resource names it."""

__version__ = "0.1.0"
