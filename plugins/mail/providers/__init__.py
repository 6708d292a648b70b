"""Hand messages to mail providers: SMTP, SendGrid, Mailgun, Amazon SES or a folder of files."""
