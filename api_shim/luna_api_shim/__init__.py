"""The REST shim: speaks the LUNA Streams API to clients and workers, and keeps everything in Kubernetes resources.

Reads top to bottom as: `service` wires and runs it, `app` holds the routes, `routes/` parse, call and answer, the
modules beside them do the work (`editor` for users, `queue` and `feedback` for workers), `store` speaks to Kubernetes.
"""
