"""The bodies of the LUNA Streams REST API, versions 1 and 2, and their conversion to and from the resource.

`v1` and `v2` each have the request model `StreamToBeCreated` with `to_submission`, and `stream_response`, which
renders a resource in that version. `messages` has the bodies that both versions share. The shim speaks these to
clients and workers; the processor reads what it takes from the queue with `queued_stream`.
"""
