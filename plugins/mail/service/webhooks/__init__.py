"""Verify and parse the webhooks of mail providers, and record their feedback."""
