"""The switch's own process: forwarding, faults, capture. It imports little, so that it starts quickly."""
