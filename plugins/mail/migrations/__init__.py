"""Tables of mail, step by step; append-only."""
