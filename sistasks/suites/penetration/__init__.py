"""The suite `penetration`: one node sends the others what no network should, and they must bear it."""
