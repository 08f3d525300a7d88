"""The commands: a file each, with a function of its name that takes its options."""
