# An image of which every instance boots with one line of user-data. packer/README.md says how to build it.
# Paths are as seen from the directory in which packer is run: the project's own.

source "amazon-ebs" "services-box" {
  region        = var.region
  instance_type = var.instance_type
  subnet_id     = var.subnet_id
  ssh_username  = var.ssh_username
  # The key that Packer logs in with must not open every instance.
  ssh_clear_authorized_keys = true

  source_ami_filter {
    filters = {
      name                = var.source_ami_name
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
    owners      = [var.source_ami_owner]
    most_recent = true
  }

  launch_block_device_mappings {
    device_name           = var.volume_device
    volume_size           = var.volume_size
    volume_type           = "gp2"
    delete_on_termination = true
  }

  ami_name        = "${var.name}-${formatdate("YYYYMMDD-hhmmss", timestamp())}"
  ami_description = "CircleCI Enterprise services box, baked by boot-agent"
  ami_regions     = var.copy_to_regions
  ami_users       = var.share_with_accounts
  encrypt_boot    = var.encrypted
  kms_key_id      = var.kms_key_id

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
    source      = var.agent
    destination = "/tmp/boot-agent"
  }

  provisioner "file" {
    source      = var.images_toml
    destination = "/tmp/boot-agent-images.toml"
  }

  provisioner "file" {
    source      = var.agent_toml
    destination = "/tmp/boot-agent-agent.toml"
  }

  # The last provisioner: it removes the SSH host keys, so that nobody can log in again before the image's first boot.
  # A container has no sudo, and needs none.
  provisioner "shell" {
    scripts         = ["packer/scripts/prepare.sh", "packer/scripts/bake.sh"]
    execute_command = "{{ .Vars }} $(command -v sudo) bash '{{ .Path }}'"
  }

  post-processors {
    post-processor "manifest" {
      output = "packer-manifest.json"
      only   = ["amazon-ebs.services-box"]
    }
    # By the API and not by the source block's imds_support, which Packer 1.6 does not know.
    post-processor "shell-local" {
      script = "packer/scripts/require-imdsv2.sh"
      only   = ["amazon-ebs.services-box"]
    }
  }

  post-processor "docker-tag" {
    repository = "boot-agent/services-box"
    only       = ["docker.local"]
  }
}
