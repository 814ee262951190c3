"""What workers ask and tell: the queue, their reports, and who they are."""
