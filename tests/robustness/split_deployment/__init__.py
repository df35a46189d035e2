"""Live sync with each part its own process, Unix user and credentials, behind a broker: flows, kills and a burst."""
