"""What a set-up must have on both sides and on this machine, and what is wrong with it."""
