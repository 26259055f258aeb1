"""The gateway; `python -m src.gateway.main` runs it."""

__version__ = "0.1.0"
