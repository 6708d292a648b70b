"""The time in an organisation's time zone."""
