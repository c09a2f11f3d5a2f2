# For Packer 1.7 and later, which keeps its builders in plugins: packer init packer/plugins
# In a directory of its own, since Packer 1.6 has them built in and does not know this block.
packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.2.0"
    }
    docker = {
      source  = "github.com/hashicorp/docker"
      version = ">= 1.0.0"
    }
  }
}
