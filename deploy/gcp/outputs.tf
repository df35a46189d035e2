output "addresses" {
  description = "What public_urls must be, and what HubSpot's app and Stripe's endpoint begin with."
  value       = { for side, door in google_cloud_run_v2_service.door : side => door.uri }
}
