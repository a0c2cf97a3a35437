"""A site's own cases: patients in shorthand, and the endpoints that are expected of them."""
