"""The worker: takes streams from LUNA Streams, finds and follows faces in them, delivers best shots."""
