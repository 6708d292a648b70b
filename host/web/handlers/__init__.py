"""Call route handlers: bind their input, honour Idempotency-Key, and report refused actions to plugins."""
