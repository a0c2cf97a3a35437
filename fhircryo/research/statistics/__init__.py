"""Statistics of a cohort: plain numbers in, a small struct out; scipy and lifelines compute them.

Both are imported where they are used: they take longer to load than most commands
take to run.
"""
