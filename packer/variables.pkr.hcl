# What an image is made of and where. Each has a default; set others with -var or a *.auto.pkrvars.hcl file.

variable "agent" {
  type        = string
  default     = "target/x86_64-unknown-linux-gnu/release/agent"
  description = "The agent's binary, as cargo build --release makes it."
}

variable "images_toml" {
  type        = string
  default     = "packer/images.toml"
  description = "What is pre-pulled, and which installer is pinned: /etc/boot-agent/images.toml of the image."
}

variable "agent_toml" {
  type        = string
  default     = "packer/agent.toml"
  description = "The agent's settings: /etc/boot-agent/agent.toml of the image."
}

variable "region" {
  type        = string
  default     = "us-east-1"
  description = "The AWS region in which the image is built."
}

variable "copy_to_regions" {
  type        = list(string)
  default     = []
  description = "Regions to which the finished image is copied."
}

variable "share_with_accounts" {
  type        = list(string)
  default     = []
  description = "AWS accounts that may launch the image."
}

variable "source_ami_name" {
  type        = string
  default     = "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*"
  description = "The name of the image to start from; the newest that fits is taken."
}

variable "source_ami_owner" {
  type        = string
  default     = "099720109477"
  description = "The AWS account that owns the image to start from. The default is Canonical's."
}

variable "ssh_username" {
  type        = string
  default     = "ubuntu"
  description = "The user of the image to start from, who may use sudo without a password."
}

variable "instance_type" {
  type        = string
  default     = "m5.large"
  description = "The machine that builds. Pulling is bound by network and disk."
}

variable "subnet_id" {
  type        = string
  default     = ""
  description = "The subnet of the machine that builds; empty: one of the default VPC. It needs a way to the registries."
}

variable "volume_device" {
  type        = string
  default     = "/dev/sda1"
  description = "The root device of the image to start from."
}

variable "volume_size" {
  type        = number
  default     = 100
  description = "The root volume in GB. The images of the app take tens of them."
}

variable "encrypted" {
  type        = bool
  default     = true
  description = "Whether the snapshots are encrypted. An encrypted image can be shared only with a key of your own."
}

variable "kms_key_id" {
  type        = string
  default     = ""
  description = "The key they are encrypted with; empty: the account's default key for EBS."
}

variable "name" {
  type        = string
  default     = "services-box"
  description = "The start of the image's name; the time of the build follows."
}

variable "tags" {
  type        = map(string)
  default     = { Application = "circleci-services-box" }
  description = "Tags of the image, of its snapshots, and of all that the build makes on the way."
}

variable "local_image" {
  type        = string
  default     = "debian:12"
  description = "The Docker image that the build without AWS starts from."
}

variable "local_socket" {
  type        = string
  default     = "/var/run/docker.sock"
  description = "The Docker engine that the build without AWS pulls into: the one that runs it."
}
