"""Computes on a Spark cluster: the same three functions, on the engine that a site has."""
