//! A bundle at some location, complete or not: what `agent check` validates. Where [`source::fetch`] fails on one
//! missing or irregular file, this takes what exists and reports the rest.

use std::fs;
use std::path::Path;

use futures_util::future::join_all;

use crate::aws::s3::S3;
use crate::bundle::{BundleFile, Fetched, Lacking};
use crate::cause::Cause;
use crate::files::{self, Root};
use crate::kind::Kind;
use crate::settings::{Extra, Location, Source};
use crate::source;

/// The most names at a source that are compared with the missing ones.
const MOST_NAMES: usize = 1000;

/// The files at a source; `place` is the source as typed, for use in commands.
///
/// # Errors
/// When the location does not exist, none of the four files exists, or all fail for the same reason.
pub(crate) async fn at(
    root: &Root,
    from: &Source,
    place: &str,
    extra: &[Extra],
    s3: Option<&S3>,
    mut warn: impl FnMut(Cause),
) -> Result<Fetched, Cause> {
    if let Source::Directory(path) = from {
        is_directory(&root.path(path), place)?;
    }
    let fetches =
        BundleFile::ALL.map(|file| async move { (file, source::fetch_file(root, from, file, s3).await) });
    let mut fetched = Fetched { place: place.to_owned(), ..Fetched::default() };
    for (file, outcome) in join_all(fetches).await {
        match outcome {
            Ok(content) => {
                fetched.files.insert(file, content);
            }
            Err(cause) => {
                fetched.lacking.insert(file, Lacking { cause: Some(cause), ..Lacking::default() });
            }
        }
    }
    let warnings = s3.map(S3::take_warnings).unwrap_or_default();
    warnings.into_iter().for_each(&mut warn);
    let absent: Vec<BundleFile> =
        fetched.lacking.iter().filter(|(_, lacking)| is_absent(lacking)).map(|(file, _)| *file).collect();
    if fetched.files.is_empty() && absent.is_empty() {
        // Nothing could be read, because of the source and not the files.
        let causes = fetched.lacking.into_values().filter_map(|lacking| lacking.cause).collect();
        return Err(alike(causes));
    }
    if !absent.is_empty() {
        let names = names(root, from, s3).await;
        let nears = nearest(&absent, &names);
        if fetched.files.is_empty() && nears.is_empty() && fetched.lacking.len() == absent.len() {
            return Err(Cause::config(
                Kind::SourceEmpty,
                format!("{place} contains none of the files of a bundle."),
                format!(
                    "Check the address; a bundle has {}.",
                    BundleFile::ALL.map(BundleFile::name).join(", ")
                ),
            ));
        }
        for file in absent {
            let near = nears.iter().find(|(of, _)| *of == file).map(|(_, name)| name.clone());
            let content = match &near {
                Some(name) => source::fetch_named(root, from, name, s3).await.unwrap_or_default(),
                None => Vec::new(),
            };
            fetched.lacking.insert(file, Lacking { cause: None, near, content });
        }
    }
    let beside = source::fetch_beside(root, from, extra, s3).await?;
    (fetched.extra, fetched.packages) = (beside.extra, beside.packages);
    Ok(fetched)
}

/// The bundle installed on this machine.
///
/// # Errors
/// When none of its files exists; otherwise those of [`source::installed`].
pub(crate) fn installed(root: &Root, extra: &[Extra]) -> Result<Fetched, Cause> {
    let mut fetched = source::installed(root, extra)?;
    if fetched.files.is_empty() {
        return Err(Cause::config(
            Kind::BundleNotInstalled,
            "No bundle is installed on this machine.",
            "To check a bundle elsewhere: agent check ./bundle, or agent check s3://bucket/prefix",
        ));
    }
    fetched.place = root.path("/etc").to_string_lossy().into_owned();
    Ok(fetched)
}

fn is_directory(path: &Path, place: &str) -> Result<(), Cause> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Cause::config(
                Kind::SourceNoSuchDirectory,
                format!("{place} does not exist."),
                "Give the directory that contains the bundle's files.",
            ));
        }
        Err(error) => return Err(files::failed("read", path, &error)),
    };
    let next_step = match path.parent().filter(|_| metadata.is_file()) {
        Some(parent) => format!("Give the directory: agent check {}", parent.display()),
        None => "Give the directory that contains the bundle's files.".to_owned(),
    };
    Err(Cause::config(Kind::SourceNotADirectory, format!("{place} is not a directory."), next_step))
}

fn is_absent(lacking: &Lacking) -> bool {
    lacking
        .cause
        .as_ref()
        .is_some_and(|cause| matches!(cause.kind, Kind::SourceNoSuchFile | Kind::S3NoSuchKey))
}

/// Combines causes; only the first if all have the same kind.
fn alike(mut causes: Vec<Cause>) -> Cause {
    causes.dedup_by(|b, a| a.kind == b.kind);
    Cause::together(causes)
}

/// The names next to the four files; none if they cannot be listed.
async fn names(root: &Root, from: &Source, s3: Option<&S3>) -> Vec<String> {
    match (from, s3) {
        (Source::Directory(path), _) => {
            let entries = fs::read_dir(root.path(path)).into_iter().flatten().flatten().take(MOST_NAMES);
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        }
        (Source::S3(location), Some(s3)) => {
            let prefix = Location::key(location, "");
            let listed = s3.list(&location.bucket, &prefix, MOST_NAMES).await.unwrap_or_default();
            let below = listed.iter().filter_map(|object| object.key.strip_prefix(&prefix));
            below.filter(|name| !name.is_empty() && !name.contains('/')).map(str::to_owned).collect()
        }
        (Source::S3(_), None) => Vec::new(),
    }
}

/// For each missing file, the name that was most likely meant; each name is assigned to at most one file.
fn nearest(absent: &[BundleFile], names: &[String]) -> Vec<(BundleFile, String)> {
    let taken = |name: &str| BundleFile::ALL.iter().any(|file| file.name() == name);
    let mut pairs: Vec<(usize, BundleFile, &String)> = Vec::new();
    for file in absent {
        let near = names.iter().filter(|name| !taken(name));
        pairs.extend(near.filter_map(|name| distance(*file, name).map(|distance| (distance, *file, name))));
    }
    pairs.sort();
    let mut found: Vec<(BundleFile, String)> = Vec::new();
    for (_, file, name) in pairs {
        if !found.iter().any(|(of, given)| *of == file || given == name) {
            found.push((file, name.clone()));
        }
    }
    found
}

/// The distance of a name from the file's; `None` if it is no match.
fn distance(file: BundleFile, name: &str) -> Option<usize> {
    let wanted = file.name();
    let lower = name.to_lowercase();
    let stem = wanted.split('.').next().unwrap_or(wanted);
    if lower == wanted {
        return Some(0);
    }
    // `settings.conf.txt`, `settings.conf (1)`, `settings.conf~`, `new-settings.conf`
    let is_joint = |c: char| !c.is_alphanumeric();
    if let Some(rest) = lower.strip_prefix(wanted).filter(|rest| rest.starts_with(is_joint)) {
        return Some(1 + rest.len());
    }
    if let Some(start) = lower.strip_suffix(wanted).filter(|start| start.ends_with(is_joint)) {
        return Some(20 + start.len());
    }
    if file == BundleFile::License && lower.ends_with(".rli") {
        return Some(40);
    }
    // `settings.json`, `settings`, `licence.rli`, `circle-installation-customisations.sh`
    let given = lower.split('.').next().unwrap_or(&lower);
    let edits = strsim::damerau_levenshtein(given, stem);
    (edits <= stem.len() / 6).then_some(60 + edits * 10 + lower.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_recognised_and_given_to_one_file() {
        let near = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            nearest(&BundleFile::ALL, &names)
        };
        for (name, file) in [
            ("settings.conf.txt", BundleFile::Settings),
            ("Settings.conf", BundleFile::Settings),
            ("settings.json", BundleFile::Settings),
            ("setings.conf", BundleFile::Settings),
            ("settings", BundleFile::Settings),
            ("settings.conf~", BundleFile::Settings),
            ("prod-settings.conf", BundleFile::Settings),
            ("replicated.conf.json", BundleFile::Replicated),
            ("REPLICATED.CONF", BundleFile::Replicated),
            ("Acme-license.rli", BundleFile::License),
            ("acme.rli", BundleFile::License),
            ("licence.rli", BundleFile::License),
            ("license.rli.b64", BundleFile::License),
            ("circle-installation-customizations.sh", BundleFile::Customizations),
            ("circle-installation-customisations", BundleFile::Customizations),
            ("circle_installation_customizations", BundleFile::Customizations),
        ] {
            assert_eq!(near(&[name]), [(file, name.to_owned())], "{name}");
        }
        for name in ["readme.md", "conf", "license.rli", "settings.conf", "x", "terraform.tfstate"] {
            assert_eq!(near(&[name]), [], "{name}");
        }
        let both = near(&["settings.conf.bak", "Settings.conf", "a.rli", "b.rli"]);
        assert_eq!(
            both,
            [(BundleFile::Settings, "Settings.conf".to_owned()), (BundleFile::License, "a.rli".to_owned())]
        );
    }
}
