"""Plan limits: rates in Redis and quotas in the database, spent atomically, explained."""
