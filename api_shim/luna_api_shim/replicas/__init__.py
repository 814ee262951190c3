"""Several replicas as one service: who leads, who passes what to whom, and how one leaves."""
