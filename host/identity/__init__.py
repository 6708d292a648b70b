"""Identity: passwords, tokens, sessions, API keys, sign-in through other providers."""
