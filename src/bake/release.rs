//! Checks that the pinned parts match: the installer, the operator's script, the images and the arguments belong to one
//! release of Replicated.

use std::collections::BTreeMap;

use crate::cause::Cause;
use crate::docker::reference::Reference;
use crate::kind::Kind;
use crate::replicated::edition::{self, Edition, IMAGES, OperatorEdition};

use super::plan::Replicated;

/// The image that the operator's script starts.
const OPERATOR: &str = "replicated-operator";

/// What both scripts declare.
pub(super) struct Release {
    pub(super) edition: Edition,
    pub(super) operator: Option<OperatorEdition>,
}

/// Whether the installer, given these arguments, runs the operator's script: downloaded, or with `airgap` as it finds it in
/// its working directory.
pub(super) fn runs_operator(edition: &Edition, arguments: &[String]) -> bool {
    let is_off = |argument: &String| edition::name_of(argument) == "no-operator";
    edition.operator_url.is_some() && !arguments.iter().any(is_off)
}

impl Release {
    /// The tag of each image of Replicated itself: the installer names two or all three, the operator's script its own.
    fn tags(&self) -> BTreeMap<&'static str, &str> {
        let operator = self.operator.as_ref().map(|operator| (OPERATOR, operator.tag.as_str()));
        let named = self.edition.tags.iter().map(|(image, tag)| (*image, tag.as_str()));
        operator.into_iter().chain(named).collect()
    }

    /// The images that the scripts start, under the exact names by which they look for them.
    pub(super) fn images(&self) -> Vec<Reference> {
        let prefix = edition::registry_prefix(&self.edition.version);
        let named = self.tags().into_iter().map(|(image, tag)| format!("{prefix}{image}:{tag}").parse());
        named.filter_map(Result::ok).collect()
    }

    /// Everything by which the parts do not belong together: with the versions that were asked for, with the images
    /// that were, and with the arguments that the installer is going to be given.
    ///
    /// All of class config: `installer.other_version`, `images.other_version`, `installer.unknown_argument`.
    pub(super) fn findings<'a>(
        &self,
        asked: Option<&Replicated>,
        images: impl Iterator<Item = &'a Reference>,
        arguments: &[String],
    ) -> Vec<Cause> {
        let tags = self.tags();
        let mut findings = Vec::new();
        for (image, version) in asked.into_iter().flat_map(Replicated::versions) {
            let wanted = format!("stable-{version}");
            if let Some(tag) = tags.get(image).filter(|tag| **tag != wanted) {
                findings.push(other_version(image, version, tag));
            }
        }
        if let (Some(operator), Some(tag)) = (&self.operator, self.edition.tags.get(OPERATOR))
            && operator.tag != *tag
        {
            findings.push(other_version(OPERATOR, tag, &operator.tag));
        }
        for image in images {
            if let Some(tag) = image_of_replicated(image).and_then(|name| tags.get(name))
                && *tag != image.tag()
            {
                findings.push(
                    Cause::config(
                        Kind::ImagesOtherVersion,
                        format!("images.toml asks for {image}, but the pinned installer starts {tag}."),
                        "Use one version in [replicated] and in the tags of Replicated's images in images.toml.",
                    )
                    .with("installer", &self.edition.version),
                );
            }
        }
        let unknown = self.edition.unknown(arguments);
        if !unknown.is_empty() {
            let (what, them) = if unknown.len() == 1 { ("argument", "it") } else { ("arguments", "them") };
            findings.push(
                Cause::config(
                    Kind::InstallerUnknownArgument,
                    format!(
                        "The installer of Replicated {} does not support the {what} {} and would exit with code 1.",
                        self.edition.version,
                        unknown.join(", ")
                    ),
                    format!("Remove {them} from install.arguments in agent.toml, or pin a newer version."),
                )
                .with("arguments known", known(&self.edition)),
            );
        }
        findings
    }
}

fn known(edition: &Edition) -> String {
    edition.arguments_known.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn other_version(image: &str, asked: &str, found: &str) -> Cause {
    Cause::config(
        Kind::InstallerOtherVersion,
        format!("images.toml asks for {image} {asked}, but the downloaded script starts {found}."),
        "Correct the version under [replicated] in images.toml, or the url.",
    )
}

/// Which of Replicated's own images this is, in any registry.
fn image_of_replicated(image: &Reference) -> Option<&'static str> {
    let full = image.repository();
    let path = full.strip_prefix(&format!("{}/", image.registry())).unwrap_or(full);
    IMAGES.into_iter().find(|name| path.strip_prefix("replicated/") == Some(name))
}
