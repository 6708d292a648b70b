"""Rendering: a template's source is checked, compiled once, and filled in for each message inside a sandbox."""
