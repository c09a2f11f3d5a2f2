//! What there is to say about a kind, from the Markdown file of its area.
//!
//! Each kind has a section: its name as heading, its meaning in one sentence, then four parts that begin with a label:
//! `Detected:`, `Causes:`, `Confirm:`, `Fix:`. Lines indented by four spaces are commands.

use super::Kind;

/// What `agent explain` says about a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// What it means, in one sentence.
    pub meaning: &'static str,
    /// How the agent tells.
    pub detected: &'static str,
    /// What usually causes it.
    pub causes: &'static str,
    /// How to confirm it by hand.
    pub confirm: &'static str,
    /// How to mend it.
    pub fix: &'static str,
}

/// What one part of an explanation consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// The text of a paragraph, as it is broken into lines in its file.
    Paragraph(&'static str),
    /// A command to type.
    Command(&'static str),
}

/// The labels of the parts, in their order.
const LABELS: [&str; 4] = ["Detected", "Causes", "Confirm", "Fix"];

impl Explanation {
    /// The four parts below the meaning, each with its label.
    pub fn parts(&self) -> [(&'static str, &'static str); 4] {
        let [detected, causes, confirm, fix] = LABELS;
        [(detected, self.detected), (causes, self.causes), (confirm, self.confirm), (fix, self.fix)]
    }
}

impl Kind {
    /// What there is to say about it.
    pub fn explanation(self) -> Explanation {
        let section = sections(self.area().text()).find(|(name, _)| *name == self.as_str());
        let mut rest = section.map_or("", |(_, body)| body);
        let mut next = |label: &str| {
            let (before, after) = rest.split_once(&format!("\n{label}:")).unwrap_or((rest, ""));
            rest = after;
            before.trim_matches('\n')
        };
        let [meaning, detected, causes, confirm] = LABELS.map(&mut next);
        Explanation { meaning, detected, causes, confirm, fix: rest.trim_matches('\n') }
    }
}

/// Each section of an area's file: its heading and what stands below it.
pub(super) fn sections(text: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    text.split("## ").filter_map(|section| section.split_once('\n'))
}

impl Piece {
    /// The paragraphs and commands of a part.
    pub fn of(part: &'static str) -> impl Iterator<Item = Piece> {
        let blocks = part.split("\n\n").filter(|block| !block.is_empty());
        blocks.flat_map(|block| match block.starts_with("    ") {
            true => block.lines().map(|line| Piece::Command(line.trim())).collect::<Vec<_>>(),
            false => vec![Piece::Paragraph(block.trim())],
        })
    }
}
