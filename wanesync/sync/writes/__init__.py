"""The write jobs: what is planned, sent once, settled when its answer is lost, and stopped by the change guard."""
