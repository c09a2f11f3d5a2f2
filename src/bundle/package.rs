//! The airgap package: gigabytes that are streamed to their place, and so no part of what is fetched into memory.

use std::path::Path;

use crate::cause::Cause;
use crate::kind::Kind;

/// An airgap package at a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The object's name, at the top of the source.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Whether a file with its SHA-256 lies beside it.
    pub has_sums: bool,
}

impl Package {
    /// How the names of packages end.
    pub const ENDING: &'static str = ".airgap";

    /// What the file with a package's SHA-256 adds to its name.
    pub const SUMS: &'static str = ".sha256";

    /// The one of `packages` that belongs to `path`, where Replicated looks for it: the one with the same name, or else the
    /// only one. `None` for none.
    ///
    /// # Errors
    /// `airgap.several_packages` (config).
    pub fn for_path<'p>(path: &Path, packages: &'p [Package]) -> Result<Option<&'p Package>, Cause> {
        let name = path.file_name().unwrap_or_default();
        if let Some(named) = packages.iter().find(|package| name == package.name.as_str()) {
            return Ok(Some(named));
        }
        match packages {
            [] => Ok(None),
            [only] => Ok(Some(only)),
            several => {
                let names: Vec<&str> = several.iter().map(|package| package.name.as_str()).collect();
                let name = name.to_string_lossy();
                Err(Cause::config(
                    Kind::AirgapSeveralPackages,
                    format!("The bundle has {} airgap packages, but none is named {name}.", several.len()),
                    format!("Keep only one of them at the source, or rename one to {name}."),
                )
                .with("packages", names.join(", ")))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_found_by_its_name_or_by_being_the_only_one() {
        let packages: Vec<Package> = ["a.airgap", "b.airgap"]
            .map(|name| Package { name: name.to_owned(), size: 1, has_sums: false })
            .to_vec();
        let found = |path: &str, packages: &[Package]| {
            Package::for_path(Path::new(path), packages)
                .map(|found| found.map(|package| package.name.clone()))
                .map_err(|cause| cause.kind.to_string())
        };
        assert_eq!(found("/opt/b.airgap", &packages), Ok(Some("b.airgap".to_owned())));
        assert_eq!(found("/opt/app.airgap", &packages[..1]), Ok(Some("a.airgap".to_owned())));
        assert_eq!(found("/opt/app.airgap", &[]), Ok(None));
        assert_eq!(found("/opt/app.airgap", &packages), Err("airgap.several_packages".to_owned()));
    }
}
