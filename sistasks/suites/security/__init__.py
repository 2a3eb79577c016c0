"""The security suite: what a kernel's configuration, image and running nodes say of how it is protected."""
