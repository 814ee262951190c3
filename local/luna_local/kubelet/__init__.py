"""Runs the Pods of an API server as processes of this machine."""
