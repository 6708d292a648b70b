"""Durable background jobs: store, schedule, claim, run and retry tasks in the tenant that asked for them."""
