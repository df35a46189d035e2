"""The two sides: official SDKs, their wire formats and error tables."""
