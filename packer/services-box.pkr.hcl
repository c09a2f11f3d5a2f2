# An image of which every instance boots with one line of user-data. README.md in this directory says how to build it.

locals {
  agent       = var.agent != "" ? var.agent : "${path.root}/../target/x86_64-unknown-linux-gnu/release/agent"
  images_toml = var.images_toml != "" ? var.images_toml : "${path.root}/images.toml"
  agent_toml  = var.agent_toml != "" ? var.agent_toml : "${path.root}/agent.toml"

  distributions = {
    "ubuntu-22.04" = {
      name   = "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*"
      owner  = "099720109477"
      user   = "ubuntu"
      device = "/dev/sda1"
    }
    "ubuntu-24.04" = {
      name   = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*"
      owner  = "099720109477"
      user   = "ubuntu"
      device = "/dev/sda1"
    }
    "debian-12" = {
      name   = "debian-12-amd64-*"
      owner  = "136693071363"
      user   = "admin"
      device = "/dev/xvda"
    }
    "amazon-linux-2023" = {
      name   = "al2023-ami-2023.*-x86_64"
      owner  = "137112412989"
      user   = "ec2-user"
      device = "/dev/xvda"
    }
  }
  base = local.distributions[var.distribution]
}

source "amazon-ebs" "services-box" {
  region        = var.region
  instance_type = var.instance_type
  subnet_id     = var.subnet_id

  iam_instance_profile = var.instance_profile
  security_group_ids   = var.security_group_ids

  ssh_username            = var.ssh_username != "" ? var.ssh_username : local.base.user
  ssh_interface           = var.ssh_interface
  temporary_key_pair_type = var.ssh_key_type
  # The key that Packer logs in with must not open every instance.
  ssh_clear_authorized_keys = true

  source_ami_filter {
    filters = {
      name                = var.source_ami_name != "" ? var.source_ami_name : local.base.name
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
    owners      = [var.source_ami_owner != "" ? var.source_ami_owner : local.base.owner]
    most_recent = true
  }

  launch_block_device_mappings {
    device_name           = var.volume_device != "" ? var.volume_device : local.base.device
    volume_size           = var.volume_size
    volume_type           = var.volume_type
    iops                  = var.volume_type == "gp3" ? var.volume_iops : 0
    throughput            = var.volume_type == "gp3" ? var.volume_throughput : 0
    delete_on_termination = true
  }

  ami_name        = "${var.name}-${formatdate("YYYYMMDD-hhmmss", timestamp())}"
  ami_description = "CircleCI Enterprise services box, baked by boot-agent"
  ami_regions     = var.copy_to_regions
  ami_users       = var.share_with_accounts
  encrypt_boot    = var.encrypted
  kms_key_id      = var.kms_key_id

  region_kms_key_ids = var.kms_key_ids

  tags            = var.tags
  snapshot_tags   = var.tags
  run_tags        = var.tags
  run_volume_tags = var.tags
}

# The same build without AWS: a container in place of the instance, its engine's images in place of the volume's.
source "docker" "local" {
  image   = var.local_image
  pull    = false
  commit  = true
  volumes = { "${var.local_socket}" = "/var/run/docker.sock" }
  # The host's network, as an instance has it, and not whatever the engine's bridge allows.
  run_command = ["-d", "-i", "-t", "--network=host", "--entrypoint=/bin/sh", "--", "{{.Image}}"]
  # An empty list would leave the shell that Packer has started in its place.
  changes = ["ENTRYPOINT [\"\"]", "CMD [\"/bin/bash\"]"]
}

build {
  sources = ["source.amazon-ebs.services-box", "source.docker.local"]

  provisioner "file" {
    source      = local.agent
    destination = "/tmp/boot-agent"
  }

  provisioner "file" {
    source      = local.images_toml
    destination = "/tmp/boot-agent-images.toml"
  }

  provisioner "file" {
    source      = local.agent_toml
    destination = "/tmp/boot-agent-agent.toml"
  }

  # The last provisioner: it removes the SSH host keys, so that nobody can log in again before the image's first boot.
  # A container has no sudo, and needs none; sudo would drop the variables.
  provisioner "shell" {
    scripts          = ["${path.root}/scripts/prepare.sh", "${path.root}/scripts/bake.sh"]
    environment_vars = ["DOCKER_PACKAGE=${var.docker_package}", "DOCKER_VERSION=${var.docker_version}"]
    execute_command  = "$(command -v sudo) env {{ .Vars }} bash '{{ .Path }}'"
  }

  post-processors {
    post-processor "manifest" {
      output = "packer-manifest.json"
      only   = ["amazon-ebs.services-box"]
    }
    # By the API and not by the source block's imds_support, which Packer 1.6 does not know.
    post-processor "shell-local" {
      script = "${path.root}/scripts/require-imdsv2.sh"
      only   = ["amazon-ebs.services-box"]
    }
  }

  post-processor "docker-tag" {
    repository = "boot-agent/services-box"
    only       = ["docker.local"]
  }
}
