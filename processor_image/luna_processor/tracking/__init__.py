"""Tie the detections of successive pictures together: numpy and an assignment solver only, one `Tracker` per stream."""
