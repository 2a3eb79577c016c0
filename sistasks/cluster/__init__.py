"""Many nodes: bring-up, later the switch and its faults."""
