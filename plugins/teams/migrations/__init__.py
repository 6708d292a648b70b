"""Tables of teams, step by step; append-only."""
