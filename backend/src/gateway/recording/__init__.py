"""Sessions of the bus as files: `record` writes them, `replay` publishes them again."""
