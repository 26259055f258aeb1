"""A stand-in for the upstream Core: one seeded trading day after another, published on the bus."""
