"""The port before the upgrade: sockets, TLS, requests, and the time that each may take."""
