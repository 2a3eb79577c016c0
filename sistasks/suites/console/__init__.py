"""Suites on kernels that talk on their console, where our agent does not run."""
