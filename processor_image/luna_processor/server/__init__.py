"""The worker towards LUNA Streams: takes streams, reports about them."""
