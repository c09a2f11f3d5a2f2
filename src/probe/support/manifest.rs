//! The manifest of a support bundle: its content, the redactions with their places, and what is missing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use super::redact::Redactions;

/// The version of the manifest's format.
const VERSION: u32 = 1;

/// How wide the lists of the readable form are.
const NAME_WIDTH: usize = 34;

/// How many ranges of lines are named in the readable form; all of them stand in the JSON.
const RANGES: usize = 12;

/// One file of the bundle.
#[derive(Debug, Serialize)]
pub(super) struct File {
    pub(super) name: String,
    /// Where it comes from: a path, a command.
    pub(super) source: String,
    pub(super) bytes: usize,
    /// What is missing of it; null if it is whole.
    pub(super) cut: Option<String>,
    pub(super) redactions: Vec<Redactions>,
    /// How many of the redactions stood in it before this bundle was made.
    pub(super) redacted_earlier: usize,
}

/// Something that is not in the bundle.
#[derive(Debug, Serialize)]
pub(super) struct Gap {
    pub(super) name: String,
    pub(super) source: String,
    pub(super) why: String,
}

/// The whole; in JSON it is `manifest.json`.
#[derive(Debug, Serialize)]
pub(super) struct Manifest {
    version: u32,
    agent: &'static str,
    made_at: Timestamp,
    /// Redactions in all files together.
    pub(super) redactions: usize,
    /// The same by class.
    redactions_by_class: BTreeMap<String, usize>,
    /// What whoever sends this should know.
    cautions: Vec<String>,
    pub(super) files: Vec<File>,
    pub(super) not_collected: Vec<Gap>,
}

impl Manifest {
    pub(super) fn new(
        made_at: Timestamp,
        files: Vec<File>,
        not_collected: Vec<Gap>,
        cautions: Vec<String>,
    ) -> Self {
        let mut by_class: BTreeMap<String, usize> = BTreeMap::new();
        for of_class in files.iter().flat_map(|file| &file.redactions) {
            *by_class.entry(of_class.class.clone()).or_default() += of_class.count;
        }
        Manifest {
            version: VERSION,
            agent: env!("CARGO_PKG_VERSION"),
            made_at,
            redactions: by_class.values().sum(),
            redactions_by_class: by_class,
            cautions,
            files,
            not_collected,
        }
    }

    /// `MANIFEST.txt`.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "Support bundle of boot-agent {}, made at {}\n\n\
             What is in it, what was taken out of it, and what is missing. manifest.json says the same for programs.\n\
             \"[redacted]\" stands where a secret stood that this box knows. \"[redacted: …]\" stands where something only\n\
             looked like a secret, by the pattern that is named. Of the bundle's files there are names, sizes and sums here,\n\
             and no contents. Host names, addresses and the words of logs are in here as they are: look before you send it.\n",
            self.agent, self.made_at
        );
        self.write_cautions(&mut text);
        self.write_redactions(&mut text);
        self.write_files(&mut text);
        self.write_gaps(&mut text);
        text
    }

    fn write_cautions(&self, text: &mut String) {
        if !self.cautions.is_empty() {
            text.push_str("\nCautions\n");
            for caution in &self.cautions {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "  ! {caution}");
            }
        }
    }

    fn write_redactions(&self, text: &mut String) {
        let _ = writeln!(text, "\nRedactions: {}", self.redactions);
        for file in self.files.iter().filter(|file| !file.redactions.is_empty()) {
            let earlier = match file.redacted_earlier {
                0 => String::new(),
                count => format!("  ({count} stood there before)"),
            };
            let _ = writeln!(text, "  {}{earlier}", file.name);
            for of_class in &file.redactions {
                let what = match of_class.by {
                    "pattern" => format!("{} (by pattern)", of_class.class),
                    _ => of_class.class.clone(),
                };
                let _ =
                    writeln!(text, "    {:>5} × {what}, line {}", of_class.count, ranges(&of_class.lines));
            }
        }
    }

    fn write_files(&self, text: &mut String) {
        let _ = writeln!(text, "\nFiles: {}", self.files.len());
        for file in &self.files {
            let _ = writeln!(text, "  {:<NAME_WIDTH$} {:>8} bytes  {}", file.name, file.bytes, file.source);
            if let Some(cut) = &file.cut {
                let _ = writeln!(text, "  {:<NAME_WIDTH$} {:>8}        not whole: {cut}", "", "");
            }
        }
    }

    fn write_gaps(&self, text: &mut String) {
        let _ = writeln!(text, "\nNot collected: {}", self.not_collected.len());
        for gap in &self.not_collected {
            let _ = writeln!(text, "  {:<NAME_WIDTH$} {}: {}", gap.name, gap.source, gap.why);
        }
    }
}

/// `1, 3-7, 9`.
fn ranges(lines: &[usize]) -> String {
    let runs = lines.chunk_by(|one, next| one + 1 == *next);
    let all = runs.clone().count();
    let named: Vec<String> = runs
        .take(RANGES)
        .map(|run| match run {
            [first, .., last] => format!("{first}-{last}"),
            [only] => only.to_string(),
            [] => String::new(),
        })
        .collect();
    let more = if all > RANGES { ", …" } else { "" };
    format!("{}{more}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_in_ranges() {
        assert_eq!(ranges(&[1, 3, 4, 5, 9]), "1, 3-5, 9");
        let many: Vec<usize> = (0..100).map(|n| n * 2).collect();
        assert!(ranges(&many).ends_with("22, …"), "{}", ranges(&many));
    }
}
