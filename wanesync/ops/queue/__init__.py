"""What operators see and do with jobs: lists, one job, dead letters, bulk runs, webhooks set aside."""
