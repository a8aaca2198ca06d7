"""Files that people name on a command line."""
