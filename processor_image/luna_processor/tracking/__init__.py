"""Tie the detections of successive pictures together: numpy and scipy only, one `Tracker` per stream."""
