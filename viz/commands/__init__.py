"""What each command of `minigrad` does once its arguments are read."""
