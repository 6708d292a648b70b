"""Who belongs to a tenant and with which role: joining, leaving, inviting; an owner always remains."""
