"""Background work: a durable job store, a wake-up queue, and the executor that carries the tenant."""
