"""Check, compile and render mail templates (MJML, HTML, text) in a sandbox."""
