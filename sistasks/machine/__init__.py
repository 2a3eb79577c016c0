"""One node: architecture records, accelerator, command line, process, QMP, console, template."""
