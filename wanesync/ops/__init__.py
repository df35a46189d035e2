"""What an operator reads and changes; the command line and the web use it."""
