"""The forms of values: what is one value although two systems spell it in two ways."""
