"""What an extension costs: which files it takes to add an endpoint, an instrument, and so on."""
