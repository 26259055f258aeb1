"""What describes the gateway to machines and readers, written from the code by `make contract`."""
