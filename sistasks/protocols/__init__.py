"""What kernels say on a serial line, read into records: pure parsers, bytes in, results out."""
