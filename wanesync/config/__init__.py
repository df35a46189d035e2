"""The configuration: TOML and environment, checked as a whole, into one frozen value."""
