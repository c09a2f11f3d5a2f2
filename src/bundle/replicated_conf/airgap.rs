//! What `replicated.conf`, the bundle and the installer's arguments say of an airgap package, and whether they agree.

use std::path::{Component, Path};

use super::Conf;
use crate::bundle::text::is_open_in_json;
use crate::bundle::{BundleFile, Package};
use crate::cause::Cause;
use crate::kind::Kind;

pub(super) const KEY: &str = "LicenseBootstrapAirgapPackagePath";

pub(super) fn check(conf: &mut Conf<'_, '_, '_>, is_set: bool) {
    let packages = conf.beside.packages;
    let (Some(path), Some(at)) = (conf.text(KEY), conf.at(KEY)) else {
        // A value that cannot be one has been reported.
        if !is_set {
            without_path(conf, packages.unwrap_or_default());
        }
        return;
    };
    if is_open_in_json(path) {
        return;
    }
    let is_clean = Path::new(path).components().all(|part| !matches!(part, Component::ParentDir));
    let taken = BundleFile::ALL.iter().find(|file| file.installed_path() == path);
    if !is_clean || path.ends_with('/') || taken.is_some() {
        let why = match taken {
            Some(file) => format!("is the place of {file}"),
            None => "is not the path of a file, or goes through \"..\"".to_owned(),
        };
        let next_step = format!("Write \"{KEY}\": \"/var/lib/replicated/app.airgap\"");
        let cause = Cause::config(Kind::ReplicatedConfPath, format!("{KEY} {why}: {path:?}."), next_step);
        return conf.notes.error(at, cause);
    }
    if conf.places(path) {
        return;
    }
    match packages.map(|packages| Package::for_path(Path::new(path), packages)) {
        Some(Ok(None)) => {
            let cause = Cause::config(
                Kind::AirgapNotInBundle,
                format!("{KEY} is set, but the bundle has no airgap package, so {path} must be in the AMI."),
                "Make sure that the AMI contains it, or upload the package to the source under a name that ends in .airgap.",
            );
            conf.notes.warning(at, cause);
        }
        Some(Err(cause)) => conf.notes.error(at, cause),
        Some(Ok(Some(_))) | None => {}
    }
}

fn without_path(conf: &mut Conf<'_, '_, '_>, packages: &[Package]) {
    let add = |name: &str| format!("Add \"{KEY}\": \"/var/lib/replicated/{name}\"");
    if let Some(package) = packages.first() {
        let names: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
        let cause = Cause::config(
            Kind::AirgapUnused,
            format!(
                "The bundle has the airgap package {}, but it is not used: {KEY} is not set.",
                names.join(", ")
            ),
            add(&package.name),
        );
        conf.notes.warning(None, cause);
    }
    if conf.beside.arguments.iter().any(|argument| argument.split('=').next() == Some("airgap")) {
        let name = packages.first().map_or("app.airgap", |package| &package.name);
        let cause = Cause::config(
            Kind::AirgapNoPath,
            format!(
                "install.arguments has airgap, and {KEY} is not set: Replicated then waits in its console for a package, and nobody is watching."
            ),
            format!("{}, or remove airgap from install.arguments in agent.toml.", add(name)),
        );
        conf.notes.error(None, cause);
    }
}
