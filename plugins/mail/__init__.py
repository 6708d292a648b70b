"""Mail plugin: accept, queue, render, deliver and retry messages, and record what became of them."""
