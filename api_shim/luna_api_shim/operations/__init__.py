"""What every operation of the REST API takes and answers: one table per resource.

An `Operation` says it once. Its endpoint reads the query by it (`query_of`), the router serves it
(`resource("/path", GET=operations.LIST.by(list_))`), and `openapi` makes the document of it. To add an operation:
declare it here, bind it to its endpoint in `routes`, and read its parameters with `query_of(request).get(...)`.
"""
