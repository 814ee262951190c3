"""How events are written: a module per format, and the choice among them."""
