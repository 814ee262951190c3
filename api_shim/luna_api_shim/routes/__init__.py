"""The endpoints: each parses, calls, answers."""
