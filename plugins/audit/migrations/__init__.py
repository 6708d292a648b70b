"""Tables of audit, step by step; append-only."""
