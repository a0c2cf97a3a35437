"""How a request says who asks: by nothing, a password, a token, or a token that a key earns."""
