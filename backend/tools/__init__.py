"""Programs for developers that write files of the repository from libraries which the gateway does not have."""
