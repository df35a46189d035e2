"""The queue: jobs, dead letters, retries, held changes."""
