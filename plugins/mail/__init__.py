"""Mail that arrives once and within the plan: accepted, queued, rendered, delivered, retried, and what became of it."""
