"""What nodes execute, function by function: counted by a plugin of QEMU's, named by the kernel's symbols."""
