"""The past: what happened, what it looked like, and the stream from a moment on. It lives in a process of its own."""
