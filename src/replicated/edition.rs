//! What a Replicated install script says about itself: its version, its images, the arguments it knows, and the second
//! script that it fetches.
//!
//! The script is read as text and nothing of it is run. The vendor's server answers an unknown path with HTTP 200 and a
//! valid script that prints "404" and exits, so a shebang proves nothing; these marks do.

use std::collections::{BTreeMap, BTreeSet};

use crate::cause::Cause;
use crate::docker::reference::Reference;
use crate::kind::Kind;

/// The images of Replicated itself, by the last part of their names.
pub const IMAGES: [&str; 3] = ["replicated", "replicated-ui", "replicated-operator"];

/// How much of a script that is refused is quoted, in characters.
const QUOTED: usize = 200;

/// How many mentions of the operator's URL are looked at; the real script has two.
const MENTIONS: usize = 16;

/// How deep variables are expanded that stand in the values of others.
const DEEPEST: usize = 4;

/// What one release of the installer says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edition {
    /// The version of Replicated that it installs, such as `2.38.6`.
    pub version: String,
    /// The tag of each of [`IMAGES`] that it starts, such as `stable-2.38.6`. The operator's may be missing.
    pub tags: BTreeMap<&'static str, String>,
    /// The arguments that it knows, with dashes; an unknown one ends it with exit code 1.
    pub arguments_known: BTreeSet<String>,
    /// Where its server is, without a path. `None` if the script fetches no operator script.
    pub base_url: Option<String>,
    /// From where it fetches the operator's script, which it runs as root.
    pub operator_url: Option<String>,
}

/// What the operator's script says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorEdition {
    /// The version of Replicated that it belongs to.
    pub version: String,
    /// The tag of the operator's image, such as `stable-2.38.6`.
    pub tag: String,
    /// The arguments that it knows, with dashes.
    pub arguments_known: BTreeSet<String>,
}

impl Edition {
    /// Reads the installer. `place` is where it came from, for the cause.
    ///
    /// # Errors
    /// `installer.not_the_installer` (config) when it lacks what every release of the installer has: a catch-all page,
    /// the installer for Swarm or Kubernetes, or another script.
    pub fn read(content: &[u8], place: &str) -> Result<Self, Cause> {
        let text = String::from_utf8_lossy(content);
        let arguments_known = arguments_of(&text);
        let tags: BTreeMap<&'static str, String> =
            IMAGES.into_iter().filter_map(|image| Some((image, tag_of(&text, image)?))).collect();
        let version = version_of(&text);
        let mut missing = Vec::new();
        if version.is_none() {
            missing.push("REPLICATED_VERSION=\"…\"");
        }
        if !tags.contains_key("replicated") || !tags.contains_key("replicated-ui") {
            missing.push("the tags of the images replicated and replicated-ui");
        }
        let knows = |name: &str| arguments_known.contains(name);
        // The installers for Swarm and Kubernetes know no no-operator.
        if !(knows("no-docker")
            && knows("no-operator")
            && (knows("local-address") || knows("private-address")))
        {
            missing.push("the arguments local-address, no-docker and no-operator");
        }
        let Some(version) = version.filter(|_| missing.is_empty()) else {
            return Err(not_it("the Replicated installer", &text, &missing, place));
        };
        let operator_url = operator_url(&text);
        let base_url = operator_url.as_deref().and_then(|url| {
            let url = reqwest::Url::parse(url).ok()?;
            Some(url.origin().ascii_serialization())
        });
        Ok(Edition { version, tags, arguments_known, base_url, operator_url })
    }

    /// The images that must be present under exactly these names where the installer is told not to pull.
    pub fn images(&self) -> Vec<Reference> {
        let named = IMAGES.into_iter().filter_map(|image| {
            let tag = self.tags.get(image)?;
            format!("{}{image}:{tag}", registry_prefix(&self.version)).parse().ok()
        });
        named.collect()
    }

    /// Those of `arguments` that this edition does not know.
    pub fn unknown<'a>(&self, arguments: &'a [String]) -> Vec<&'a str> {
        let is_unknown = |argument: &&String| !self.arguments_known.contains(&name_of(argument));
        arguments.iter().filter(is_unknown).map(String::as_str).collect()
    }
}

impl OperatorEdition {
    /// Reads the operator's script. `place` is where it came from, for the cause.
    ///
    /// # Errors
    /// `installer.not_the_operator` (config) when it lacks what every release of it has.
    pub fn read(content: &[u8], place: &str) -> Result<Self, Cause> {
        let text = String::from_utf8_lossy(content);
        let arguments_known = arguments_of(&text);
        let (version, tag) = (version_of(&text), tag_of(&text, "replicated-operator"));
        let mut missing = Vec::new();
        if version.is_none() {
            missing.push("REPLICATED_VERSION=\"…\"");
        }
        if tag.is_none() {
            missing.push("the tag of the image replicated-operator");
        }
        if !["daemon-endpoint", "daemon-token"].iter().all(|name| arguments_known.contains(*name)) {
            missing.push("the arguments daemon-endpoint and daemon-token");
        }
        match (version, tag) {
            (Some(version), Some(tag)) if missing.is_empty() => {
                Ok(OperatorEdition { version, tag, arguments_known })
            }
            _ => Err(Cause {
                kind: Kind::InstallerNotTheOperator,
                ..not_it("the install script of the Replicated operator", &text, &missing, place)
            }),
        }
    }
}

/// The name of an argument, with dashes: the installer takes `no_docker` for `no-docker`, and passes over the value of an
/// argument that has none.
pub fn name_of(argument: &str) -> String {
    argument.split('=').next().unwrap_or_default().replace('_', "-")
}

/// What stands before the name of an image of Replicated's own in `version`. The vendor moved them from quay.io to Docker
/// Hub with 2.45.0.
pub fn registry_prefix(version: &str) -> &'static str {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let numbers = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if numbers < (2, 45) { "quay.io/replicated/" } else { "replicated/" }
}

fn not_it(what: &str, text: &str, missing: &[&str], place: &str) -> Cause {
    let is_command = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let first = text.lines().map(str::trim).find(is_command).unwrap_or_default();
    let cause = Cause::config(
        Kind::InstallerNotTheInstaller,
        format!("The script from {place} is not {what}."),
        "Correct the URL: for an unknown path, the server returns a script that only prints an error.",
    );
    missing.iter().fold(cause, |cause, mark| cause.with("missing", mark)).with_quote(
        "first command",
        first,
        QUOTED,
    )
}

fn version_of(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.trim().strip_prefix("REPLICATED_VERSION="))?;
    let value = value.trim().trim_matches(['"', '\'']);
    let is_version = value.starts_with(|c: char| c.is_ascii_digit())
        && value.contains('.')
        && value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    is_version.then(|| value.to_owned())
}

/// The tag under which the script starts an image: `current` is its own name for whatever that tag was.
fn tag_of(text: &str, image: &str) -> Option<String> {
    let name = format!("/{image}:");
    text.match_indices(&name).find_map(|(at, _)| {
        let rest = &text[at + name.len()..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')));
        let tag = &rest[..end.unwrap_or(rest.len())];
        (!tag.is_empty() && tag != "current" && tag.contains(|c: char| c.is_ascii_digit()))
            .then(|| tag.to_owned())
    })
}

/// The arguments in the `case` whose last arm refuses an unknown parameter.
fn arguments_of(text: &str) -> BTreeSet<String> {
    let mut open: Vec<(BTreeSet<String>, bool)> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("case ") && line.ends_with(" in") {
            open.push((BTreeSet::new(), false));
        } else if line == "esac" || line.starts_with("esac ") || line.starts_with("esac;") {
            open.pop();
        }
        let Some((names, at_default)) = open.last_mut() else { continue };
        if *at_default && line.contains("unknown parameter") {
            return std::mem::take(names);
        }
        let Some((pattern, _)) = line.split_once(')') else { continue };
        if pattern.trim() == "*" {
            *at_default = true;
        } else if pattern.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_| ".contains(c))
        {
            names.extend(pattern.split('|').map(|name| name.trim().replace('_', "-")));
        }
    }
    BTreeSet::new()
}

/// The URL of the operator's script, with the variables in it replaced by what the script gives them.
fn operator_url(text: &str) -> Option<String> {
    let at_edge = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>');
    text.match_indices("/operator?").take(MENTIONS).find_map(|(at, _)| {
        let start = text[..at].rfind(at_edge).map_or(0, |edge| edge + 1);
        let end = text[at..].find(at_edge).map_or(text.len(), |edge| at + edge);
        // Where the script prints the URL, it puts colours around it.
        let word = expand(&text[start..end], &text[..start], DEEPEST).filter(|word| !word.contains('\\'))?;
        let url = reqwest::Url::parse(&word).ok()?;
        (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(word)
    })
}

/// `word` with each `$NAME` and `${NAME}` replaced by the last plain value that `before` gives it; `None` where there is
/// none.
fn expand(word: &str, before: &str, depth: usize) -> Option<String> {
    let Some((head, tail)) = word.split_once('$') else { return Some(word.to_owned()) };
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (name, rest) = match tail.strip_prefix('{') {
        Some(braced) => braced.split_once('}')?,
        None => tail.split_at(tail.find(|c| !is_name(c)).unwrap_or(tail.len())),
    };
    if depth == 0 || name.is_empty() || !name.chars().all(is_name) {
        return None;
    }
    let assignment = format!("{name}=");
    let value = before.lines().rev().find_map(|line| line.trim().strip_prefix(&assignment))?;
    let value = value.trim().trim_end_matches(';').trim_matches(['"', '\'']);
    let value = expand(value, before, depth - 1)?;
    Some(format!("{head}{value}{}", expand(rest, before, depth)?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The parts of an installer that matter, as three editions write them.
    fn edition_2018() -> String {
        script(
            "2.22.0",
            "docker pull \"quay.io/replicated/replicated:stable-2.22.0\"\ndocker pull \"quay.io/replicated/replicated-ui:stable-2.22.0\"\n\
             docker tag \"quay.io/replicated/replicated:stable-2.22.0\" \"quay.io/replicated/replicated:current\"\n",
            "    prefix=\"\"\n    ${GETTER} \"https://get.replicated.com${prefix}/operator?replicated_operator_tag=2.22.0\" > /tmp/operator_install.sh\n",
            &["no-docker|no_docker", "no-operator|no_operator", "skip-pull|skip_pull", "airgap", "tags"],
        )
    }

    fn edition_2019() -> String {
        script(
            "2.38.6",
            "docker pull \"${PREFIX}/replicated:stable-2.38.6\"\ndocker pull \"${PREFIX}/replicated-ui:stable-2.38.6\"\n\
             docker pull \"${PREFIX}/replicated-operator:stable-2.38.6\"\ndocker tag \"${PREFIX}/replicated:stable-2.38.6\" \"${PREFIX}/replicated:current\"\n",
            "    prefix=\"/beta\"\n    echo -e \"${GETTER} https://get.replicated.com${prefix}/operator?replicated_operator_tag=2.38.6${NC}\"\n\
             \x20   ${GETTER} \"https://get.replicated.com${prefix}/operator?replicated_operator_tag=2.38.6\" > \"$TEMP/operator_install.sh\"\n",
            &[
                "no-docker|no_docker",
                "no-operator|no_operator",
                "skip-pull|skip_pull",
                "no-public-address|no_public_address",
            ],
        )
    }

    fn edition_2026() -> String {
        script(
            "2.56.0",
            "docker pull \"${OVERRIDE}/${PATH_PREFIX}replicated/replicated:stable-2.56.0\"\ndocker pull \"${PREFIX}/replicated-ui:stable-2.56.0\"\n\
             docker tag \"${PREFIX}/replicated-operator:stable-2.56.0\" \"${PREFIX}/replicated-operator:current\"\n",
            "    prefix=\n    ${GETTER} \"${INSTALL_URL}${prefix}/operator?replicated_operator_tag=2.56.0\" > \"${TEMP}/operator_install.sh\"\n",
            &[
                "no-docker|no_docker",
                "no-operator|no_operator",
                "skip-preflights | skip_preflights",
                "daemon-token|daemon_token",
            ],
        )
    }

    fn script(version: &str, images: &str, operator: &str, arguments: &[&str]) -> String {
        let arms: String = arguments
            .iter()
            .map(|pattern| format!("        {pattern})\n            X=\"$_value\"\n            ;;\n"))
            .collect();
        format!(
            "#!/bin/bash\nset -e\nREPLICATED_VERSION=\"{version}\"\nINSTALL_URL=\"https://get.replicated.com\"\n\
             GREEN='\\033[0;32m'\nNC='\\033[0m'\ndetect() {{\n  case \"$DIST\" in\n    ubuntu)\n      X=1\n      ;;\n    *)\n      X=0\n      ;;\n  esac\n}}\n{images}\
             install_operator() {{\n{operator}}}\nwhile [ \"$1\" != \"\" ]; do\n    case $_param in\n        \
             local-address|local_address|private-address|private_address)\n            X=1\n            ;;\n{arms}        *)\n            \
             echo >&2 \"Error: unknown parameter \\\"$_param\\\"\"\n            exit 1\n            ;;\n    esac\n    shift\ndone\n"
        )
    }

    #[test]
    fn three_editions_are_read() {
        for (text, version, url, images, knows, knows_not) in [
            (
                edition_2018(),
                "2.22.0",
                "https://get.replicated.com/operator?replicated_operator_tag=2.22.0",
                "quay.io/replicated/replicated:stable-2.22.0 quay.io/replicated/replicated-ui:stable-2.22.0",
                "airgap",
                "no-public-address",
            ),
            (
                edition_2019(),
                "2.38.6",
                "https://get.replicated.com/beta/operator?replicated_operator_tag=2.38.6",
                "quay.io/replicated/replicated:stable-2.38.6 quay.io/replicated/replicated-ui:stable-2.38.6 \
                 quay.io/replicated/replicated-operator:stable-2.38.6",
                "no-public-address",
                "skip-preflights",
            ),
            (
                edition_2026(),
                "2.56.0",
                "https://get.replicated.com/operator?replicated_operator_tag=2.56.0",
                "replicated/replicated:stable-2.56.0 replicated/replicated-ui:stable-2.56.0 \
                 replicated/replicated-operator:stable-2.56.0",
                "skip-preflights",
                "airgap",
            ),
        ] {
            let edition = Edition::read(text.as_bytes(), "here").unwrap();
            assert_eq!(edition.version, version);
            assert_eq!(edition.operator_url.as_deref(), Some(url), "{text}");
            assert_eq!(edition.base_url.as_deref(), Some("https://get.replicated.com"));
            let found: Vec<String> = edition.images().iter().map(ToString::to_string).collect();
            assert_eq!(found.join(" "), images);
            let arguments = [knows, knows_not, "private_address=10.0.0.7", "no_docker=1"].map(str::to_owned);
            assert_eq!(edition.unknown(&arguments), [knows_not]);
        }
    }

    #[test]
    fn what_is_not_the_installer_is_refused() {
        let not_found = "#! /bin/sh\n\necho \"404: page not found\"\nexit 1\n";
        let swarm = edition_2026().replace("no-operator|no_operator", "swarm-token|swarm_token");
        let newer_shape = edition_2019().replace("REPLICATED_VERSION=", "VERSION=");
        for (text, words) in [
            (not_found, "first command: echo \"404: page not found\""),
            (swarm.as_str(), "missing: the arguments"),
            (newer_shape.as_str(), "missing: REPLICATED_VERSION"),
            ("", "missing: the tags"),
        ] {
            let cause = Edition::read(text.as_bytes(), "https://get.replicated.com/dokcer").unwrap_err();
            assert_eq!(cause.kind, Kind::InstallerNotTheInstaller);
            let said: Vec<String> =
                cause.evidence.iter().map(|fact| format!("{}: {}", fact.name, fact.value)).collect();
            assert!(said.iter().any(|fact| fact.starts_with(words)), "{said:?}");
        }
    }

    #[test]
    fn the_operators_script_is_told_from_others() {
        let text = edition_2019().replace("local-address|", "daemon-endpoint|daemon_endpoint|daemon-token|");
        let operator = OperatorEdition::read(text.as_bytes(), "here").unwrap();
        assert_eq!((operator.version.as_str(), operator.tag.as_str()), ("2.38.6", "stable-2.38.6"));
        for text in ["Not Found", &edition_2019(), &edition_2018()] {
            let cause = OperatorEdition::read(text.as_bytes(), "here").unwrap_err();
            assert_eq!(cause.kind, Kind::InstallerNotTheOperator);
        }
    }

    #[test]
    fn a_url_whose_parts_are_unknown_is_none() {
        for text in
            ["curl $NOWHERE/operator?x", "curl ${A}/operator?x", "A=$A\ncurl $A/operator?x", "/operator?"]
        {
            assert_eq!(operator_url(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "(case |esac|in\n|/operator\\?|\\$\\{?[A-Z]|[A-Z]=\\$[A-Z]\n|/replicated:|ä|[ -~\n]){0,60}") {
            let _ = Edition::read(text.as_bytes(), "here");
            let _ = OperatorEdition::read(text.as_bytes(), "here");
        }
    }
}
