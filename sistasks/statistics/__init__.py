"""Pure functions on arrays; nothing of ours is imported here."""
