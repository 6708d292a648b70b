"""Teams of an organisation's people, nested, visible or secret, that give rights to their members."""
