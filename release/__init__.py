"""What is given to users: ``make dist`` and ``make wheelhouse``."""
