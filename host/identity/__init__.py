"""Sign-in and identity: passwords, access tokens, sessions, API keys and OAuth providers."""
