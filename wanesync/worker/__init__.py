"""The worker process: claim, pace, call, commit, heartbeat."""
