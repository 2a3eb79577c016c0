"""The distributed suite: N kernels that must agree over a network which the host breaks."""
