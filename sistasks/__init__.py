"""Real kernels in real QEMU nodes: booted, measured inside, judged against their history."""

__version__ = "0.1.0"
