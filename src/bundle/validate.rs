//! From [`Fetched`] to [`Bundle`], by way of everything that is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Component, Path, PathBuf};

use super::addresses::{self, DatabaseUri};
use super::fetched::{BundleFile, ExtraFile, Fetched, Lacking, Placement};
use super::file_name::FileName;
use super::finding::{Diagnostics, Finding, capped};
use super::package::Package;
use super::replicated_conf::{self, Beside, ReplicatedConf};
use super::text::Templates;
use super::{circleconfig, customizations, excerpt, json, license, recognise, secrets, settings_conf, text};
use crate::cause::Cause;
use crate::kind::Kind;
use crate::secret::Secrets;
use crate::{trust, unit};

/// What a look at a whole bundle gave.
#[derive(Debug)]
pub struct Validation {
    /// Everything that is wrong: file by file in the order of [`BundleFile::ALL`], then the extra files; in each by place,
    /// what is about the whole file first.
    pub findings: Vec<Finding>,
    /// The addresses of the app's databases as far as they are set, those of the customizations first.
    pub databases: Vec<DatabaseUri>,
    /// What could be read of `replicated.conf`.
    pub replicated: ReplicatedConf,
    /// There exactly if no finding is an error.
    pub bundle: Option<Bundle>,
}

/// A bundle that has been checked. Its secrets are known to the scrubber, and `Debug` shows no content.
#[derive(Clone, PartialEq, Eq)]
pub struct Bundle {
    fetched: Fetched,
    /// The addresses of the app's databases, none malformed, those of the customizations first.
    pub databases: Vec<DatabaseUri>,
    /// What the boot wants to know of `replicated.conf`.
    pub replicated: ReplicatedConf,
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle")
            .field("fetched", &self.fetched)
            .field("databases", &self.databases)
            .field("replicated", &self.replicated)
            .finish()
    }
}

impl Bundle {
    /// Every file to place: the extra files first, since the four name some of them.
    pub fn placements(&self) -> impl Iterator<Item = Placement<'_>> {
        self.fetched.others().chain(self.fetched.four())
    }

    /// The airgap package that belongs to `LicenseBootstrapAirgapPackagePath`, if the bundle has one.
    ///
    /// # Errors
    /// As for [`Package::for_path`].
    pub fn package(&self) -> Result<Option<&Package>, Cause> {
        match (&self.replicated.airgap_path, &self.fetched.packages) {
            (Some(path), Some(packages)) => Package::for_path(path, packages),
            _ => Ok(None),
        }
    }

    /// What it was made from.
    pub fn fetched(&self) -> &Fetched {
        &self.fetched
    }
}

/// Validates everything, after making every secret in it known. `arguments` are the installer's, by the settings.
pub fn validate(fetched: &Fetched, arguments: &[String], known: &Secrets) -> Validation {
    secrets::register(fetched, known);
    let (mut validation, texts) = looked(fetched, arguments);
    excerpt::attach(&mut validation.findings, &texts, known);
    validation
}

/// [`validate`] without the secrets, and so without excerpts.
#[cfg(any(test, fuzzing))]
pub(super) fn validate_without_secrets(fetched: &Fetched) -> Validation {
    looked(fetched, &[]).0
}

/// The validation, and the text of each file by its name.
fn looked(fetched: &Fetched, arguments: &[String]) -> (Validation, BTreeMap<String, String>) {
    let placed: BTreeSet<PathBuf> = fetched.installed_paths().collect();
    let beside = Beside { placed: &placed, packages: fetched.packages.as_deref(), arguments };
    let circleconfig = circleconfig::read(&fetched.extra);
    let mut databases = Vec::new();
    let mut replicated = ReplicatedConf::default();
    let mut findings = Vec::new();
    let mut texts = BTreeMap::new();
    let mut present: BTreeMap<BundleFile, (FileName, &[u8])> =
        fetched.files.iter().map(|(file, bytes)| (*file, (fetched.name(*file), bytes.as_slice()))).collect();
    for file in BundleFile::ALL.into_iter().filter(|file| !fetched.files.contains_key(file)) {
        let lacking = fetched.lacking.get(&file);
        findings.extend(missing(file, &fetched.name(file), lacking));
        // What is there under another name is validated all the same.
        if let Some(Lacking { near: Some(near), content, .. }) =
            lacking.filter(|lacking| !lacking.content.is_empty())
        {
            present.insert(file, (fetched.named(near), content));
        }
    }
    let (wrong, mixed_up) = recognise::mixed_up(&present);
    findings.extend(mixed_up);
    for file in BundleFile::ALL {
        if wrong.contains(&file) {
            continue;
        }
        let Some((name, bytes)) = present.get(&file).cloned() else { continue };
        if file == BundleFile::License {
            findings.extend(license::check(&name, bytes));
            continue;
        }
        let (text, of_bytes) = text::decode(&name, bytes);
        findings.extend(of_bytes);
        let Some(original) = text else { continue };
        let text = text::unix_line_ends(&original);
        let mut notes = Diagnostics::new(&name.shown, &text);
        match file {
            BundleFile::Customizations => {
                let reading = customizations::read(&text);
                text::windows_line_ends(&mut notes, &name, &original, true);
                text::pasted(&mut notes, &name, &text, &reading.comments, Templates::Shell);
                let elsewhere = circleconfig.has_postgres;
                databases = customizations::check(&mut notes, &name, &text, &reading, elsewhere);
                databases.extend(circleconfig::vault(&mut notes, file.name(), &reading));
            }
            _ => {
                text::windows_line_ends(&mut notes, &name, &original, false);
                text::pasted(&mut notes, &name, &text, &[], Templates::Json);
                let is_settings = file == BundleFile::Settings;
                let members = json::read_object(&mut notes, &name, &text, is_settings);
                match (file, members) {
                    (BundleFile::Settings, Some(members)) => {
                        settings_conf::check(&mut notes, &name, &members);
                    }
                    (BundleFile::Replicated, Some(members)) => {
                        replicated = replicated_conf::check(&mut notes, &text, &members, beside);
                    }
                    _ => {}
                }
            }
        }
        findings.extend(notes.finish());
        texts.insert(name.shown, text.into_owned());
    }
    findings.extend(circleconfig.findings);
    texts.extend(circleconfig.texts);
    addresses::merge(&mut databases, circleconfig.databases);
    findings.extend(extra(&fetched.extra));
    let findings = capped(findings);
    let sound = !findings.iter().any(Finding::is_error);
    let bundle = sound.then(|| Bundle {
        fetched: fetched.clone(),
        databases: databases.clone(),
        replicated: replicated.clone(),
    });
    (Validation { findings, databases, replicated, bundle }, texts)
}

fn missing(file: BundleFile, name: &FileName, lacking: Option<&Lacking>) -> Vec<Finding> {
    let mut notes = Diagnostics::new(file.name(), "");
    let cause = match lacking {
        Some(Lacking { cause: Some(cause), .. }) => cause.clone(),
        Some(Lacking { near: Some(near), .. }) => Cause::config(
            Kind::BundleMissingFile,
            format!("{file} is missing; {near} is there."),
            format!("Rename it: {}", name.renamed_from(near)),
        ),
        _ => Cause::config(
            Kind::BundleMissingFile,
            format!("{file} is missing."),
            format!("Add {file} to the bundle."),
        ),
    };
    notes.error(None, cause);
    notes.finish()
}

/// The extra files: what they hold is their reader's affair, where they go is not.
fn extra(files: &[ExtraFile]) -> Vec<Finding> {
    let mut seen: BTreeMap<&Path, ()> = BTreeMap::new();
    let mut findings = Vec::new();
    for ExtraFile { path, content, .. } in files {
        let name = path.display().to_string();
        let clean = path.is_absolute()
            && path.file_name().is_some()
            && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        let of_the_four = BundleFile::ALL.iter().find(|file| Path::new(file.installed_path()) == path);
        let again = seen.insert(path, ()).is_some();
        let sentence = match of_the_four {
            Some(file) => format!("The extra file {name} has the same path as {file}."),
            None if !clean => {
                format!("The path {name:?} of an extra file is not absolute, or contains \"..\".")
            }
            None if again => format!("Two extra files have the path {name}."),
            None if unit::OWN_FILES.iter().any(|own| path.starts_with(own)) => {
                format!("The path {name} of an extra file belongs to the agent itself.")
            }
            None => {
                if let Some(cause) = trust::flaw(path, content) {
                    let mut notes = Diagnostics::new(name, "");
                    notes.error(None, cause);
                    findings.extend(notes.finish());
                }
                continue;
            }
        };
        let mut notes = Diagnostics::new(name, "");
        let next_step = "Correct the paths of the extra files in the agent's settings.";
        notes.error(None, Cause::config(Kind::BundleExtraPath, sentence, next_step));
        findings.extend(notes.finish());
    }
    findings
}
