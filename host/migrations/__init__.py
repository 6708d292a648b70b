"""Tables of host, step by step; append-only."""
