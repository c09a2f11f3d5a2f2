//! `--support-bundle`: what a vendor needs for remote diagnosis, in one file, redacted.
//!
//! Three steps. Everything is collected at the same time, each part with a deadline of its own, while every secret of
//! this box is made known to the scrubber ([`known`]). Then each text is cleaned ([`redact`]): known secrets as literals,
//! and as a last net whatever has the form of a secret ([`patterns`]). Then the whole is packed, read again to prove that
//! no known secret is in it, and written ([`archive`]). A [`manifest::Manifest`] says what was taken out of what, and
//! what could not be had.

mod archive;
mod engine;
mod host;
mod known;
mod manifest;
mod patterns;
mod redact;
mod section;
mod systemd;
mod tail;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::json;

pub(super) use archive::ArchivePath;

use archive::Entry;
use known::UnknownSecrets;
use manifest::{File, Gap, Manifest};
use patterns::PatternSet;
use redact::Redactor;
use section::{Content, Found, Section};

use super::answer::Outcome;
use super::check::is_in;
use super::facts::ProbeContext;
use super::report::Report;
use crate::cause::Cause;
use crate::console::layout::Screen;
use crate::console::{Verbosity, text};
use crate::files::Root;
use crate::secret::Secrets;

/// The replacement for other programs' output that cannot be scrubbed reliably.
const HELD_BACK: &str = "withheld, because it may contain secrets that are not known here; see the cautions";

/// A bundle that was written.
pub(super) struct Written {
    file: PathBuf,
    directory: String,
    bytes: usize,
    files: usize,
    redactions: usize,
    not_collected: usize,
}

/// Collects, scrubs, proves and writes what there is to know beside the `report`, and that.
///
/// # Errors
/// `support.unclean`, `support.archive`, `usage.file_exists`, `host.file`. A part that cannot be collected is none.
pub(super) async fn write(
    target: &ArchivePath,
    ground: &ProbeContext<'_>,
    settings_file: PathBuf,
    mut report: Report,
) -> Result<Written, Cause> {
    let made_at = Timestamp::now();
    let (mut pieces, doubts) = tokio::join!(collect(ground, settings_file), known::learn(ground));
    if !doubts.unread.is_empty() {
        withhold(&mut pieces);
        withhold_quotes(&mut report);
    }
    let redactor = Redactor { secrets: ground.secrets, net: PatternSet::new()? };
    report.scrub(ground.secrets);
    report.each_quotation(|text| redactor.quotation(text));
    let as_text = Screen::file().show(&super::text::report(&report, Verbosity::Normal));
    pieces.push(Section::new("probe.txt", "agent probe", Ok(Found::own(as_text))));
    let as_json = format!("{:#}\n", report.json());
    pieces.push(Section::new("probe.json", "agent probe --output json", Ok(Found::own(as_json))));
    pieces.sort_by(|one, other| one.name.cmp(&other.name));

    let own: BTreeSet<String> = pieces.iter().filter(|it| it.is_own()).map(|it| it.name.clone()).collect();
    let (files, texts, gaps) = cleaned(pieces, &redactor);
    let manifest = Manifest::new(made_at, files, gaps, cautions(&doubts));
    let as_text = manifest.text();
    let as_json = format!("{:#}\n", serde_json::to_value(&manifest).unwrap_or_default());
    let about = [("MANIFEST.txt", &as_text), ("manifest.json", &as_json)];
    let about = about.map(|(name, text)| Entry { name, text, is_own: true });
    let names = manifest.files.iter().map(|file| file.name.as_str());
    let files = names.zip(&texts).map(|(name, text)| Entry { name, text, is_own: own.contains(name) });
    let entries: Vec<Entry<'_>> = about.into_iter().chain(files).collect();

    let directory = format!("boot-agent-support-{}", made_at.strftime("%Y%m%dT%H%M%SZ"));
    let packed = archive::packed(&directory, &entries, &redactor)?;
    target.write(&packed)?;
    Ok(Written {
        file: target.path().to_path_buf(),
        directory,
        bytes: packed.len(),
        files: entries.len(),
        redactions: manifest.redactions,
        not_collected: manifest.not_collected.len(),
    })
}

/// Everything at the same time.
async fn collect(ground: &ProbeContext<'_>, settings_file: PathBuf) -> Vec<Section> {
    let (files, bundle, systemd, engine) = tokio::join!(
        host::files(ground.root, &settings_file),
        host::bundle_in_place(ground),
        systemd::ask(ground.root),
        engine_and_disk(ground.root),
    );
    files.into_iter().chain([bundle]).chain(systemd).chain(engine).collect()
}

/// The engine says where its data lies, and so which file system is of interest.
async fn engine_and_disk(root: &Root) -> Vec<Section> {
    let engine::EngineFiles { mut pieces, info } = engine::ask(root).await;
    pieces.push(host::disk(root, info.map(|info| info.root_directory)).await);
    pieces
}

/// Without what other programs say, while this box may hold secrets that the scrubber does not know: a pattern alone is
/// no promise.
fn withhold(pieces: &mut [Section]) {
    for piece in pieces.iter_mut().filter(|piece| piece.found.is_ok() && is_of_others(&piece.name)) {
        piece.found = Err(HELD_BACK.to_owned());
    }
}

fn is_of_others(name: &str) -> bool {
    name.starts_with("containers/") || matches!(name, "journal/docker.log" | "journal/replicated.log")
}

/// What the probe quotes of the app and of Replicated goes for the same reason; the causes themselves stay.
fn withhold_quotes(report: &mut Report) {
    let quotes = |id: &str| ["app", "replicated"].iter().any(|family| is_in(id, family));
    for answer in report.checks.iter_mut().filter(|answer| quotes(&answer.id)) {
        match &mut answer.outcome {
            Outcome::Good { detail, .. } => *detail = HELD_BACK.to_owned(),
            Outcome::Warning { cause } | Outcome::Failed { cause } => without_quotes(cause),
            Outcome::Skipped { .. } => {}
        }
    }
    for root in report.root_causes.iter_mut().filter(|root| root.seen_by.iter().any(|id| quotes(id))) {
        without_quotes(&mut root.cause);
    }
}

fn without_quotes(cause: &mut Cause) {
    cause.evidence.iter_mut().for_each(|fact| fact.value = HELD_BACK.to_owned());
}

fn cautions(doubts: &UnknownSecrets) -> Vec<String> {
    let mut cautions = Vec::new();
    if !doubts.unread.is_empty() {
        cautions.push(format!(
            "Not read: {}. Their secrets are unknown, so the logs of other programs were withheld. Run the agent as root, with access to the source, to include them.",
            doubts.unread.join(", ")
        ));
    }
    cautions.extend(
        doubts
            .elsewhere
            .iter()
            .map(|doubt| format!("{doubt} Secrets that exist only there can be found by pattern only.")),
    );
    cautions
}

/// Each piece without its secrets, in the same order: what the manifest says of it, and its text; and what is missing.
fn cleaned(pieces: Vec<Section>, redactor: &Redactor<'_>) -> (Vec<File>, Vec<String>, Vec<Gap>) {
    let (mut files, mut texts, mut gaps) = (Vec::new(), Vec::new(), Vec::new());
    let mut taken = BTreeSet::new();
    for Section { name, source, found } in pieces {
        let name = free_name(&name, &mut taken, redactor.secrets);
        let source = redactor.secrets.own(&source);
        match found {
            Ok(Found { content, cut }) => {
                let clean = match content {
                    Content::Text(raw) => redactor.text(&raw),
                    Content::Json(value) => redactor.json(value),
                    Content::Own(text) => redactor.own(text),
                };
                let (bytes, redacted_earlier) = (clean.text.len(), clean.earlier);
                let cut = cut.map(|why| redactor.secrets.own(&why));
                files.push(File { name, source, bytes, cut, redactions: clean.redactions, redacted_earlier });
                texts.push(clean.text);
            }
            Err(why) => gaps.push(Gap { name, source, why: redactor.secrets.own(&why) }),
        }
    }
    (files, texts, gaps)
}

/// A name without secrets and without what could lead out of the directory, which no other file has.
fn free_name(name: &str, taken: &mut BTreeSet<String>, secrets: &Secrets) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-[]*".contains(c);
    let plain: String = secrets.own(name).chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let plain = plain.replace("..", "_");
    let numbered = (2..).map(|number| format!("{plain}.{number}"));
    let mut candidates = std::iter::once(plain.clone()).chain(numbered);
    let free = candidates.find(|candidate| !taken.contains(candidate)).unwrap_or_default();
    taken.insert(free.clone());
    free
}

impl Written {
    /// What a person is told at the end.
    pub(super) fn text(&self) -> String {
        let mut said = format!("\n{} Support bundle: {}\n", text::green("✓"), self.file.display());
        // Writing to a String cannot fail.
        let _ = writeln!(
            said,
            "    {:.1} KB, {} files, {} redactions, {} not collected",
            self.bytes as f64 / 1000.0,
            self.files,
            self.redactions,
            self.not_collected
        );
        let _ = writeln!(
            said,
            "    Read MANIFEST.txt before you send it: tar -xzOf {} {}/MANIFEST.txt",
            self.file.display(),
            self.directory
        );
        said
    }

    /// The same for programs.
    pub(super) fn json(&self) -> serde_json::Value {
        json!({
            "file": self.file.display().to_string(),
            "bytes": self.bytes,
            "files": self.files,
            "redactions": self.redactions,
            "not_collected": self.not_collected,
        })
    }
}
