"""Where frames come from: the port the rest of the processor sees, and what may be opened at all."""
