"""Other servers for the same stream, and the floor below all of them. Each is a program of its own.

They read the same JetStream messages and build the same payload with the gateway's own functions (`feed.py`), so that
what differs is how a payload reaches the viewers, and nothing else.
"""
