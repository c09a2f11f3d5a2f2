//! Whether this machine is an EC2 instance, by what its firmware says of it.

use crate::files::Root;

/// What the firmware says of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hardware {
    vendor: Option<String>,
    is_amazon: bool,
}

impl Hardware {
    /// Reads what the kernel shows of DMI and of the hypervisor under `root`.
    pub fn read(root: &Root) -> Self {
        let text = |path: &str| {
            let text = std::fs::read_to_string(root.path(path)).unwrap_or_default();
            Some(text.trim().chars().take(80).filter(|c| !c.is_control()).collect::<String>())
                .filter(|text| !text.is_empty())
        };
        let vendor = text("/sys/class/dmi/id/sys_vendor");
        // Instances on Xen say so in the BIOS version or in the hypervisor's id.
        let says_amazon =
            |text: Option<String>| text.is_some_and(|text| text.to_lowercase().contains("amazon"));
        let is_amazon = says_amazon(vendor.clone())
            || says_amazon(text("/sys/class/dmi/id/bios_vendor"))
            || says_amazon(text("/sys/class/dmi/id/bios_version"))
            || text("/sys/hypervisor/uuid").is_some_and(|id| id.to_lowercase().starts_with("ec2"));
        Hardware { vendor, is_amazon }
    }

    /// `None` when the firmware cannot be seen.
    pub fn is_ec2(&self) -> Option<bool> {
        if self.is_amazon { Some(true) } else { self.vendor.as_ref().map(|_| false) }
    }

    /// The vendor of a machine that is no EC2 instance.
    pub fn other_vendor(&self) -> Option<&str> {
        if self.is_amazon { None } else { self.vendor.as_deref() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_known_by_its_firmware() {
        let read = |files: &[(&str, &str)]| {
            let directory = tempfile::tempdir().unwrap();
            for (path, content) in files {
                let path = directory.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, content).unwrap();
            }
            Hardware::read(&Root::new(directory.path()))
        };
        let vendor = "sys/class/dmi/id/sys_vendor";
        assert_eq!(read(&[(vendor, "Amazon EC2\n")]).is_ec2(), Some(true));
        let xen = [(vendor, "Xen\n"), ("sys/class/dmi/id/bios_version", "4.11.amazon\n")];
        assert_eq!(read(&xen).is_ec2(), Some(true));
        assert_eq!(read(&[("sys/hypervisor/uuid", "ec2e1916-9099\n")]).is_ec2(), Some(true));
        let laptop = read(&[(vendor, "LENOVO\n")]);
        assert_eq!((laptop.is_ec2(), laptop.other_vendor()), (Some(false), Some("LENOVO")));
        assert_eq!(read(&[]).is_ec2(), None);
    }
}
