"""What we say to viewers: pure functions from a message to a signal. No loop, no socket, no clock, no environment."""
