"""foundation: who lives here, what they may do, what their plan allows, and row-level security between them."""
