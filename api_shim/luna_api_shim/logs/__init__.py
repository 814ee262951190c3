"""The log of streams: copied from the resources into an SQL database, read and cleared by /streams/logs.

A resource keeps the last transitions of its stream (`status.history`), written together with the status. The leading
replica copies them, at least once and idempotently, so nothing is lost while the database or the shim is down:
`backlog` knows what is still to be copied, `copier` does it, `records` holds the SQL, `logbook` is what the rest uses.
"""
