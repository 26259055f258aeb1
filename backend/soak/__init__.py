"""Half an hour of everything that can go wrong, with thousands of viewers: `make soak`."""
