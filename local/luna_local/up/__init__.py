"""`luna-streams up`: everything on one machine, without a cluster."""
