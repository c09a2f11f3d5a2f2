# What an image is made of and where. Each has a default; set others with -var or a *.auto.pkrvars.hcl file.

variable "agent" {
  type        = string
  default     = ""
  description = "The agent's binary; empty: what cargo build --release makes in this project."
}

variable "images_toml" {
  type        = string
  default     = ""
  description = "What is pre-pulled, and which installer is pinned: /etc/boot-agent/images.toml of the image; empty: the one beside this file."
}

variable "agent_toml" {
  type        = string
  default     = ""
  description = "The agent's settings: /etc/boot-agent/agent.toml of the image; empty: the one beside this file."
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

variable "distribution" {
  type        = string
  default     = "ubuntu-22.04"
  description = "What to start from: ubuntu-22.04, ubuntu-24.04, debian-12 or amazon-linux-2023. The four variables below override parts of it."
}

variable "source_ami_name" {
  type        = string
  default     = ""
  description = "The name of the image to start from; the newest that matches is used. Empty: by distribution."
}

variable "source_ami_owner" {
  type        = string
  default     = ""
  description = "The AWS account that owns the image to start from. Empty: by distribution."
}

variable "ssh_username" {
  type        = string
  default     = ""
  description = "The user of the image to start from, who may use sudo without a password. Empty: by distribution."
}

variable "volume_device" {
  type        = string
  default     = ""
  description = "The root device of the image to start from. Empty: by distribution."
}

variable "ssh_key_type" {
  type        = string
  default     = "ed25519"
  description = "The temporary SSH key: ed25519 or rsa. Current distributions refuse the RSA signatures of older Packers."
}

variable "ssh_interface" {
  type        = string
  default     = ""
  description = "How Packer reaches the build instance: empty for its address, private_ip, or session_manager (AWS SSM; needs instance_profile and the session-manager-plugin)."
}

variable "instance_profile" {
  type        = string
  default     = ""
  description = "The IAM instance profile of the build instance, e.g. for SSM or for a private ECR registry."
}

variable "security_group_ids" {
  type        = list(string)
  default     = []
  description = "Security groups of the build instance; empty: a temporary one that lets Packer in."
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

variable "volume_size" {
  type        = number
  default     = 100
  description = "The root volume in GB. The images of the app take tens of them."
}

variable "volume_type" {
  type        = string
  default     = "gp3"
  description = "The type of the root volume."
}

variable "volume_iops" {
  type        = number
  default     = 3000
  description = "The IOPS of a gp3 root volume."
}

variable "volume_throughput" {
  type        = number
  default     = 250
  description = "The throughput of a gp3 root volume in MiB/s. Unpacking images is bound by it."
}

variable "encrypted" {
  type        = bool
  default     = true
  description = "Whether the snapshots are encrypted. An encrypted image can be shared only with a key of your own."
}

variable "kms_key_id" {
  type        = string
  default     = ""
  description = "The key they are encrypted with in the build region; empty: the account's default key for EBS."
}

variable "kms_key_ids" {
  type        = map(string)
  default     = {}
  description = "The key for each region of copy_to_regions, by region, since a KMS key belongs to one region."
}

variable "docker_package" {
  type        = string
  default     = ""
  description = "The package of the Docker engine, where the image has none; empty: the distribution's own (docker.io or docker)."
}

variable "docker_version" {
  type        = string
  default     = ""
  description = "The version of that package, as apt or dnf writes it; empty: the newest. The image then keeps this version."
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
