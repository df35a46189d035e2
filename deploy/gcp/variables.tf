variable "project" {
  type        = string
  description = "The Google Cloud project."
}

variable "region" {
  type        = string
  description = "The region, near the database or the broker."
  default     = "europe-west1"
}

variable "image" {
  type        = string
  description = "The image made from deploy/container/Containerfile, by digest."

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "Name the image by its digest: REGISTRY/wanesync@sha256:…"
  }
}

variable "public_urls" {
  type        = map(string)
  description = "Side -> the address of its service, which HubSpot signs; see the output of the first apply."
  default = {
    hubspot = "https://not-known-yet.example"
    stripe  = "https://not-known-yet.example"
  }
}

variable "portal_id" {
  type        = string
  description = "Number of the HubSpot account; webhooks of any other one are dropped."
}

variable "broker_url" {
  type        = string
  description = "mqtts://HOST:8883 of the broker; empty for a door that stores in Postgres itself."
  default     = ""
}

variable "network" {
  type        = string
  description = "The private network from which the database or the broker is reached."
}

variable "subnetwork" {
  type        = string
  description = "A subnetwork of it in the region."
}

variable "target_range" {
  type        = string
  description = "The address of the database or the broker, as 10.0.0.5/32."
}

variable "min_instances" {
  type        = number
  description = "1 avoids cold starts."
  default     = 0
}

variable "max_instances" {
  type        = number
  description = "Each instance has one connection and serves 80 requests at a time."
  default     = 13
}
