"""The domain of luna-streams-operator: resources, lifecycle, conversion rules and errors, without any I/O.

Everybody else (operator, REST shim, processor, local mode) imports this package; it imports the standard library
and pydantic only. Time comes in as `now`, identifiers come from an injected factory, secrets are passed as values.
"""
