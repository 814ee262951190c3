"""One machine without a cluster: embedded API server, process kubelet, inbox, and the command `luna-streams`."""
