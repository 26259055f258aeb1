"""Everything on one machine with one command: a NATS server, the gateway and a simulated Core."""
