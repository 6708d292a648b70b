"""Business rules of the mail plugin, from accepting a message to provider feedback."""
