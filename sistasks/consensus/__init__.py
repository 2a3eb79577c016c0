"""What replicated protocols promise, checked by the host from what the nodes told; bytes in, findings out."""
