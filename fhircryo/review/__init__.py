"""The review of computed endpoints by people: pages to read and to decide on, offline."""
