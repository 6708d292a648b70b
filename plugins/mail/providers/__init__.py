"""Hand messages to mail providers, one module each: SMTP, SendGrid, Mailgun, Amazon SES or a folder of files."""
