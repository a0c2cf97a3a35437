"""Statistics of a cohort, computed by scipy and lifelines from plain numbers.

Both libraries are imported only where they are used, because they take longer to load than most
commands take to run.
"""
