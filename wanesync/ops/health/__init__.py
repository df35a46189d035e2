"""What an operator should see at once: lanes, webhooks, sides, account, disk, versions."""
