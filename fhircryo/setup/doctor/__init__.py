"""Looks whether everything that a run needs is there, and says what to do where it is not."""
