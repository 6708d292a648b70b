"""Lines that everybody in the organisation sees at once."""
