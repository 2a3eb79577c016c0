"""What runs on the kernel: the agent, its plan and its frames, and the initramfs that holds it."""
