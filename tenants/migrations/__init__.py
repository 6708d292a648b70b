"""Tables of tenants, step by step; append-only."""
