"""The stress suite: every part of the kernel under load, and what it does then and afterwards."""
