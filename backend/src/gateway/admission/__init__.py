"""Who may connect, and how many: decided once a handshake, before a viewer costs anything."""
