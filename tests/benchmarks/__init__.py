"""What the service costs: against this machine's ceiling, and against a server as people run it today."""
