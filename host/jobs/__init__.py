"""Background work: a durable ledger, a queue that rings the bell, and the courier that carries the tenant."""
