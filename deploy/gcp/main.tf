# The webhook doors of wanesync on Cloud Run, one service for each side: they store webhooks in Postgres, or pass them to the
# queue process over MQTT.
# docs/deploy.md describes the steps. Secrets are made and filled outside of Terraform, so that no state file holds one.

terraform {
  required_version = ">= 1.5"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.0"
    }
  }
}

provider "google" {
  project = var.project
  region  = var.region
}

locals {
  uses_broker = var.broker_url != ""
  sides       = toset(["hubspot", "stripe"])
  # Side -> variable -> the name of a secret.
  secrets = { for side in local.sides : side => merge(
    { "WANESYNC_${upper(side)}__WEBHOOK_SECRET" = "wanesync-${side}-webhook-secret" },
    local.uses_broker ? {
      WANESYNC_BUS__PASSWORD = "wanesync-${side}-handler-bus-password"
      WANESYNC_BUS__SEAL_KEY = "wanesync-${side}-handler-bus-key"
      } : {
      WANESYNC_DATABASE       = "wanesync-intake-database"
      WANESYNC_SECURITY__KEYS = "wanesync-sealing-keys"
    }
  ) }
  settings = { for side in local.sides : side => merge(
    {
      WANESYNC_SERVER__PUBLIC_URL = var.public_urls[side]
      WANESYNC_HUBSPOT__PORTAL_ID = var.portal_id
      WANESYNC_CREATE__CUSTOMERS  = "none"
      WANESYNC_CREATE__CONTACTS   = "none"
    },
    local.uses_broker ? {
      WANESYNC_BUS__URL = var.broker_url
      WANESYNC_BUS__CA  = "/authorities/ca.pem"
    } : {}
  ) }
  # The authority of the broker, or of Postgres; the address of the database names the file.
  authority = local.uses_broker ? "wanesync-bus-ca" : "wanesync-postgres-ca"
  readers = { for pair in flatten([for side, names in local.secrets : [
    for name in concat(values(names), [local.authority]) : { side = side, secret = name }
  ]]) : "${pair.side} ${pair.secret}" => pair }
}

resource "google_service_account" "door" {
  for_each     = local.sides
  account_id   = "wanesync-${each.key}-door"
  display_name = "Receives the webhooks of ${each.key}"
}

# A door reads the secrets of its side and no other one.
resource "google_secret_manager_secret_iam_member" "door" {
  for_each  = local.readers
  secret_id = each.value.secret
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.door[each.value.side].member
}

resource "google_cloud_run_v2_service" "door" {
  for_each            = local.sides
  name                = "wanesync-${each.key}-door"
  location            = var.region
  ingress             = "INGRESS_TRAFFIC_ALL"
  deletion_protection = false

  template {
    service_account                  = google_service_account.door[each.key].email
    max_instance_request_concurrency = 80
    timeout                          = "15s"

    scaling {
      min_instance_count = var.min_instances
      max_instance_count = var.max_instances
    }

    # All traffic leaves through the private network, whose firewall lets it reach the database proxy or the broker only.
    vpc_access {
      egress = "ALL_TRAFFIC"
      network_interfaces {
        network    = var.network
        subnetwork = var.subnetwork
        tags       = ["wanesync-door"]
      }
    }

    volumes {
      name = "authorities"
      secret {
        secret = local.authority
        items {
          version = "latest"
          path    = "ca.pem"
        }
      }
    }

    containers {
      image   = var.image
      command = ["python", "-m", "wanesync.serverless.container"]

      ports {
        container_port = 8080
      }

      volume_mounts {
        name       = "authorities"
        mount_path = "/authorities"
      }

      resources {
        limits            = { cpu = "1", memory = "512Mi" }
        cpu_idle          = true
        startup_cpu_boost = true
      }

      startup_probe {
        http_get {
          path = "/healthz"
        }
        period_seconds    = 1
        failure_threshold = 60
      }

      dynamic "env" {
        for_each = local.settings[each.key]
        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = local.secrets[each.key]
        content {
          name = env.key
          value_source {
            secret_key_ref {
              secret  = env.value
              version = "latest"
            }
          }
        }
      }
    }
  }

  depends_on = [google_secret_manager_secret_iam_member.door]
}

# HubSpot and Stripe identify themselves by a signature, not by a Google account.
resource "google_cloud_run_v2_service_iam_member" "public" {
  for_each = local.sides
  location = google_cloud_run_v2_service.door[each.key].location
  name     = google_cloud_run_v2_service.door[each.key].name
  role     = "roles/run.invoker"
  member   = "allUsers"
}

resource "google_compute_firewall" "door_to_target" {
  name               = "wanesync-door-to-target"
  network            = var.network
  direction          = "EGRESS"
  priority           = 900
  target_tags        = ["wanesync-door"]
  destination_ranges = [var.target_range]

  allow {
    protocol = "tcp"
    ports    = [local.uses_broker ? "8883" : "5432"]
  }
}

resource "google_compute_firewall" "door_to_nothing_else" {
  name               = "wanesync-door-to-nothing-else"
  network            = var.network
  direction          = "EGRESS"
  priority           = 1000
  target_tags        = ["wanesync-door"]
  destination_ranges = ["0.0.0.0/0"]

  deny {
    protocol = "all"
  }
}
