"""Checks that everything that a run needs is in place, and says what to do if it is not."""
