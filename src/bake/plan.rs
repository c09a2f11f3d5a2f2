//! `images.toml`: which images to pull, and which installer to pin.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use reqwest::Url;
use serde::Deserialize;

use crate::cause::Cause;
use crate::docker::lock::Sha256;
use crate::docker::reference::{Digest, Reference};
use crate::files;
use crate::kind::Kind;
use crate::replicated::edition::IMAGES;

/// Its path, below the root.
pub(super) const FILE: &str = "/etc/boot-agent/images.toml";

/// Where Replicated serves its installer.
const INSTALLER_URL: &str = "https://get.replicated.com/docker";

/// The desired content of an image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BakePlan {
    #[serde(default)]
    pub(super) replicated: Option<Replicated>,
    #[serde(default, rename = "image")]
    pub(super) images: Vec<PlannedImage>,
}

/// The installer to pin.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Replicated {
    url: Option<String>,
    replicated_tag: Option<String>,
    replicated_ui_tag: Option<String>,
    replicated_operator_tag: Option<String>,
    /// The expected SHA-256, if a person reviewed the installer.
    pub(super) sha256: Option<Sha256>,
    /// The same for the operator's script, which the installer downloads and runs.
    pub(super) operator_sha256: Option<Sha256>,
}

/// One image to pull.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlannedImage {
    pub(super) reference: Reference,
    /// The expected digest of the tag; by default, the current one.
    pub(super) digest: Option<Digest>,
    #[serde(default)]
    alias: Option<Alias>,
    /// False if it was loaded before (`docker load`) and is locked as it is.
    #[serde(default = "yes")]
    pub(super) pull: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "true, or a name and tag such as \"frontend:2.19\", is expected for alias")]
enum Alias {
    AsItIs(bool),
    Named(Reference),
}

fn yes() -> bool {
    true
}

impl PlannedImage {
    /// The name and tag under which Replicated looks up the image in its own registry: as given, or the reference
    /// without its registry.
    pub(super) fn alias(&self) -> Option<Reference> {
        match self.alias.as_ref()? {
            Alias::AsItIs(false) => None,
            Alias::Named(name) => Some(name.clone()),
            Alias::AsItIs(true) => {
                let full = self.reference.to_string();
                let registry = format!("{}/", self.reference.registry());
                full.strip_prefix(&registry).unwrap_or(&full).parse().ok()
            }
        }
    }
}

impl Replicated {
    /// The requested versions, by image.
    pub(super) fn versions(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let tags = [&self.replicated_tag, &self.replicated_ui_tag, &self.replicated_operator_tag];
        IMAGES.into_iter().zip(tags).filter_map(|(image, tag)| Some((image, tag.as_deref()?)))
    }

    /// The installer's URL, with the versions in its query.
    ///
    /// # Errors
    /// `settings.invalid`.
    pub(super) fn url(&self) -> Result<Url, Cause> {
        let text = self.url.as_deref().unwrap_or(INSTALLER_URL);
        let mut url = Url::parse(text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.password().is_none())
            .ok_or_else(|| {
                invalid(&format!(
                    "replicated.url = \"{text}\" is not an http:// or https:// URL without a password"
                ))
            })?;
        for (name, tag) in [
            ("replicated_tag", &self.replicated_tag),
            ("replicated_ui_tag", &self.replicated_ui_tag),
            ("replicated_operator_tag", &self.replicated_operator_tag),
        ] {
            let Some(tag) = tag else { continue };
            if !tag.starts_with(|c: char| c.is_ascii_digit())
                || !tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
            {
                return Err(invalid(&format!(
                    "replicated.{name} = \"{tag}\" is not a version such as \"2.53.2\""
                )));
            }
            url.query_pairs_mut().append_pair(name, tag);
        }
        Ok(url)
    }
}

impl BakePlan {
    /// Adds those of `images` that are not listed, and returns their names.
    pub(super) fn add(&mut self, images: Vec<Reference>) -> Vec<Reference> {
        let is_new = |name: &Reference| !self.images.iter().any(|image| image.reference == *name);
        let added: Vec<Reference> = images.into_iter().filter(is_new).collect();
        self.images.extend(added.iter().map(|reference| PlannedImage {
            reference: reference.clone(),
            digest: None,
            alias: None,
            pull: true,
        }));
        added
    }

    /// Reads `images.toml`.
    ///
    /// # Errors
    /// `settings.missing`, `settings.syntax`, `settings.invalid` (config), with the line; `host.file`.
    pub(super) fn read(file: &Path) -> Result<Self, Cause> {
        let text = match files::read_text(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Cause::config(
                    Kind::SettingsMissing,
                    format!("{} does not exist; it lists what to bake.", file.display()),
                    "Create it; see packer/images.toml in this project for an example.",
                ));
            }
            Err(error) => return Err(files::failed("read", file, &error)),
        };
        Self::parse(&text).map_err(|cause| cause.with("file", file.display()))
    }

    pub(super) fn parse(text: &str) -> Result<Self, Cause> {
        let wanted: BakePlan = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
            let place = line.map_or_else(String::new, |line| format!("line {line}: "));
            let kind = if text.parse::<toml::Table>().is_ok() {
                Kind::SettingsInvalid
            } else {
                Kind::SettingsSyntax
            };
            let words = error.message().trim().trim_end_matches('.').replace('\n', ", ");
            Cause::config(kind, format!("images.toml, {place}{words}."), "Correct images.toml.")
        })?;
        if let Some(replicated) = &wanted.replicated {
            replicated.url()?;
        }
        let mut names = BTreeSet::new();
        for image in &wanted.images {
            let alias = image.alias().map(|alias| format!("the alias {alias}"));
            for name in [format!("the reference {}", image.reference)].into_iter().chain(alias) {
                if !names.insert(name.clone()) {
                    return Err(invalid(&format!("{name} is listed twice")));
                }
            }
        }
        Ok(wanted)
    }
}

fn invalid(what: &str) -> Cause {
    Cause::config(Kind::SettingsInvalid, format!("In images.toml, {what}."), "Correct images.toml.")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_example_says_what_is_expected_of_it() {
        let wanted = BakePlan::parse(include_str!("../../packer/images.toml")).unwrap();
        assert!(wanted.images.len() >= 3);
        let url = wanted.replicated.unwrap().url().unwrap();
        assert!(url.as_str().starts_with("https://get.replicated.com/docker?replicated_tag="), "{url}");
    }

    #[test]
    fn images_that_the_installer_needs_are_added_once() {
        let mut wanted = BakePlan::parse(include_str!("../../packer/images.toml")).unwrap();
        let before = wanted.images.len();
        let named = wanted.images[0].reference.clone();
        let other: Reference = "replicated/replicated-ui:stable-2.53.2".parse().unwrap();
        assert_eq!(wanted.add(vec![named.clone(), other.clone()]), std::slice::from_ref(&other));
        assert_eq!(wanted.images.len(), before + 1);
        assert!(wanted.add(vec![named, other]).is_empty());
    }

    #[test]
    fn an_alias_is_the_name_without_its_registry_or_what_is_given() {
        for (line, alias) in [
            ("reference = \"quay.io/circleci/frontend:2.19\"\nalias = true", Some("circleci/frontend:2.19")),
            ("reference = \"10.0.0.9:9874/frontend:2.19\"\nalias = true", Some("frontend:2.19")),
            ("reference = \"circleci/frontend:2.19\"\nalias = true", Some("circleci/frontend:2.19")),
            ("reference = \"quay.io/circleci/frontend:2.19\"\nalias = \"frontend:3\"", Some("frontend:3")),
            ("reference = \"quay.io/circleci/frontend:2.19\"\nalias = false", None),
            ("reference = \"quay.io/circleci/frontend:2.19\"", None),
        ] {
            let wanted = BakePlan::parse(&format!("[[image]]\n{line}\n")).unwrap();
            let found = wanted.images[0].alias().map(|alias| alias.to_string());
            assert_eq!(found.as_deref(), alias, "{line}");
        }
    }

    #[test]
    fn each_mistake_is_said_with_its_place() {
        let image = "[[image]]\nreference = \"a:1\"\n";
        for (text, kind, words) in [
            ("[[image]\n".to_owned(), Kind::SettingsSyntax, "line 1"),
            ("[[image]]\nreferense = \"a:1\"\n".to_owned(), Kind::SettingsInvalid, "unknown field `referense`"),
            ("[[image]]\nreference = \"a b\"\n".to_owned(), Kind::SettingsInvalid, "line 2"),
            (format!("{image}alias = 3\n"), Kind::SettingsInvalid, "true, or a name and tag"),
            (format!("{image}digest = \"sha256:1\"\n"), Kind::SettingsInvalid, "is not a digest"),
            (format!("{image}{image}"), Kind::SettingsInvalid, "the reference a:1 is listed twice"),
            (
                "[[image]]\nreference = \"quay.io/a:1\"\nalias = true\n[[image]]\nreference = \"a:1\"\nalias = true\n"
                    .to_owned(),
                Kind::SettingsInvalid,
                "the alias a:1 is listed twice",
            ),
            ("[replicated]\nurl = \"get.replicated.com\"\n".to_owned(), Kind::SettingsInvalid, "replicated.url"),
            (
                "[replicated]\nreplicated_tag = \"2.0&x=1\"\n".to_owned(),
                Kind::SettingsInvalid,
                "replicated.replicated_tag",
            ),
        ] {
            let cause = BakePlan::parse(&text).unwrap_err();
            assert_eq!(cause.kind, kind, "{text}\n{cause}");
            assert!(cause.sentence.contains(words), "{text}\n{cause}");
        }
    }
}
