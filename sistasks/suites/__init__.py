"""What is run in the nodes, and how a run becomes rows."""
