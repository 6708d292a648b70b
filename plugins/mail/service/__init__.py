"""The rules of this plugin: what is accepted, what it costs, how it is delivered, and what is learnt afterwards."""
