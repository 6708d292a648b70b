"""Tables of projects, step by step; append-only."""
