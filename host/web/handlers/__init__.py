"""Call handlers: read the input they declare, run them once per Idempotency-Key, tell of refusals."""
