"""Keep an organisation's documents within its plan."""
