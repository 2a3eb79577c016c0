"""A run against its history: what it is judged by, and what follows."""
