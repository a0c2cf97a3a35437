"""Authentication of requests: none, HTTP Basic, a bearer token, or OAuth 2.0 client credentials."""
