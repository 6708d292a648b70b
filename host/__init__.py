"""The host: serves, signs people in, runs jobs, loads plugins; knows tenants, and no plugin by name."""
