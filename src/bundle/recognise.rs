//! Identifies files by content: files of a bundle get swapped, or encoded in transit.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::fetched::BundleFile;
use super::file_name::FileName;
use super::finding::{Diagnostics, Finding};
use super::json::{self, Node};
use super::text;
use super::{customizations, replicated_conf, settings_conf};
use crate::cause::Cause;
use crate::kind::Kind;

/// How much of a file is looked at.
const ENOUGH: usize = 64 * 1024;

/// From this many characters on a text of nothing but base64 was probably encoded.
const SHORTEST_BASE64: usize = 40;

/// The files that hold another file of the bundle, and a finding about each or about two that were swapped.
pub(super) fn mixed_up(
    files: &BTreeMap<BundleFile, (FileName, &[u8])>,
) -> (BTreeSet<BundleFile>, Vec<Finding>) {
    let held: BTreeMap<BundleFile, Option<BundleFile>> =
        files.iter().map(|(file, (_, bytes))| (*file, content(*file, bytes))).collect();
    let holds = |file: BundleFile| held.get(&file).copied().flatten();
    let mut wrong = BTreeSet::new();
    let mut findings = Vec::new();
    for (file, (name, bytes)) in files {
        let Some(other) = holds(*file).filter(|other| other != file && !wrong.contains(file)) else {
            continue;
        };
        wrong.insert(*file);
        let swapped = files.get(&other).filter(|(_, theirs)| match holds(other) {
            Some(third) => third == *file,
            // A licence says nothing about itself.
            None => *file == BundleFile::License && std::str::from_utf8(theirs).is_err(),
        });
        let is_copy = files.get(&other).is_some_and(|(_, theirs)| theirs == bytes);
        let (sentence, next_step) = match swapped {
            Some((theirs, _)) => {
                wrong.insert(other);
                (
                    format!("{file} and {other} are swapped."),
                    format!("Swap them: {}", name.swapped_with(theirs)),
                )
            }
            None if is_copy => (
                format!("{file} is a copy of {other}."),
                format!("Put the right file in its place: {}", name.word()),
            ),
            None => (
                format!("{file} has the content of {other}."),
                format!("Put the right file in its place: {}", name.word()),
            ),
        };
        let mut notes = Diagnostics::new(&name.shown, "");
        notes.error(None, Cause::config(Kind::BundleWrongFile, sentence, next_step));
        findings.extend(notes.finish());
    }
    (wrong, findings)
}

/// Which file of a bundle this is by its content, where that is clear.
fn content(file: BundleFile, bytes: &[u8]) -> Option<BundleFile> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if bytes.len() > text::LARGEST {
        return None;
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return None };
    if text.trim_start().starts_with(['{', '[']) {
        let Node::Object(members) = json::read(text).value?.node else { return None };
        let keys = || members.iter().map(|member| member.key.as_str());
        let of_replicated = keys().filter(|key| replicated_conf::is_key(key)).count();
        let of_settings = keys().filter(|key| settings_conf::is_key(key)).count();
        let enough = |count: usize| count >= 2 || (count == 1 && members.len() == 1);
        return match (of_replicated, of_settings) {
            (count, others) if enough(count) && count > others => Some(BundleFile::Replicated),
            (others, count) if enough(count) && count > others => Some(BundleFile::Settings),
            _ => None,
        };
    }
    // The customizations themselves may be in any state.
    let head: String = text.chars().take(ENOUGH).collect();
    let assigns = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        line.split_once('=')
            .is_some_and(|(name, _)| customizations::is_of_the_app(name) && !name.contains(' '))
    };
    (file != BundleFile::Customizations && head.lines().any(assigns)).then_some(BundleFile::Customizations)
}

/// Why a licence is none: it is something that people have lying beside it, or it was encoded on its way.
pub(super) fn not_a_license(name: &FileName, bytes: &[u8]) -> Option<Cause> {
    let shown = &name.shown;
    let text = std::str::from_utf8(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)).ok()?.trim();
    let again = format!("Download {shown} from CircleCI again and upload that.");
    if let Some(rest) = text.strip_prefix("-----BEGIN ") {
        let what = rest.split("-----").next().unwrap_or_default();
        let is_label = what.len() <= 40 && what.chars().all(|c| c.is_ascii_uppercase() || c == ' ');
        let what = if is_label { format!(" ({})", what.to_lowercase()) } else { String::new() };
        let sentence = format!("{shown} is a PEM file{what}, not a license.");
        return Some(Cause::config(Kind::LicensePem, sentence, again));
    }
    if text.starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        return Some(Cause::config(
            Kind::LicenseJson,
            format!("{shown} is a JSON file, not a license."),
            again,
        ));
    }
    let is_element =
        text.strip_prefix('<').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()));
    if is_element && text.contains("</") && text.ends_with('>') {
        return Some(Cause::config(
            Kind::LicenseXml,
            format!("{shown} is an XML document, not a license."),
            again,
        ));
    }
    None
}

/// A text of nothing but base64. CircleCI's own file is binary, but the text says nothing about what it came from, so
/// that this is no more than a warning.
pub(super) fn packed_license(name: &FileName, bytes: &[u8]) -> Option<Cause> {
    let packed: String = std::str::from_utf8(bytes).ok()?.split_ascii_whitespace().collect();
    let padded = packed.len() >= SHORTEST_BASE64 / 2 && packed.ends_with('=');
    if !(packed.len() >= SHORTEST_BASE64 || padded) || STANDARD.decode(&packed).is_err() {
        return None;
    }
    let sentence = format!("{} looks base64-encoded; a license is a binary file.", name.shown);
    let next_step = format!("If it was encoded, decode it: {}", name.converted("base64 -d"));
    Some(Cause::config(Kind::LicenseBase64, sentence, next_step))
}
