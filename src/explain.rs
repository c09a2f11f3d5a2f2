//! `agent explain`: what a kind means, how the agent tells, what causes it, how to confirm it and how to mend it.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cause::{Cause, Class};
use crate::cli;
use crate::command::{CommandOutput, Exit};
use crate::console::layout::{HANG, VERBATIM};
use crate::kind::{Area, Kind, Piece};
use crate::suggest::closest;

/// How wide the column of the labels is.
const LABEL: usize = 10;

pub(crate) fn run(flags: &cli::Explain) -> Result<CommandOutput, Cause> {
    if flags.list || flags.words.is_empty() {
        return Ok(printed(list(Area::ALL), Kind::ALL));
    }
    let mut text = String::new();
    let mut kinds = Vec::new();
    for word in &flags.words {
        // As it is pasted from a message: `[tls.expired,`.
        let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_lowercase();
        if !text.is_empty() {
            text.push('\n');
        }
        match (Kind::parse(&word), Area::parse(&word)) {
            (Some(kind), _) => {
                text.push_str(&explained(kind));
                kinds.push(kind);
            }
            (None, Some(area)) => {
                text.push_str(&list(&[area]));
                kinds.extend(area.kinds());
            }
            (None, None) => return Err(unknown(&word)),
        }
    }
    Ok(printed(text, &kinds))
}

fn printed(text: String, kinds: &[Kind]) -> CommandOutput {
    let kinds: Vec<Value> = kinds.iter().map(|kind| as_json(*kind)).collect();
    CommandOutput { text, json: json!({ "version": 1, "kinds": kinds }), exit: Exit::Good }
}

fn unknown(word: &str) -> Cause {
    let names = Kind::ALL.iter().map(|kind| kind.as_str()).chain(Area::ALL.iter().map(|area| area.as_str()));
    let next_step = match closest(word, names).or_else(|| of_another_area(word)) {
        Some(meant) => format!("Did you mean {meant}? List all kinds: agent explain --list"),
        None => "List all kinds: agent explain --list".to_owned(),
    };
    Cause::config(Kind::UsageUnknownKind, format!("Unknown kind \"{word}\"."), next_step)
}

/// The kind that ends like the word, for one who remembers the end or the area only.
fn of_another_area(word: &str) -> Option<&'static str> {
    let what = word.rsplit('.').next().filter(|what| what.len() > 3)?;
    let mut kinds = Kind::ALL.iter().map(|kind| kind.as_str());
    kinds.find(|kind| kind.split('.').nth(1) == Some(what))
}

fn list(areas: &[Area]) -> String {
    let mut text = String::new();
    for area in areas {
        if !text.is_empty() {
            text.push('\n');
        }
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{area}");
        for kind in area.kinds() {
            let _ = writeln!(text, "  {kind:<36} {HANG}{}", kind.explanation().meaning);
        }
    }
    text
}

fn explained(kind: Kind) -> String {
    let explanation = kind.explanation();
    let mut text = format!("{kind} ({})\n\n{}\n", kind.classes_in_words(), explanation.meaning);
    for (label, part) in explanation.parts() {
        let mut label = format!("\n{label:<LABEL$}");
        for piece in Piece::of(part) {
            match piece {
                Piece::Paragraph(words) => {
                    let _ = writeln!(text, "{label}{HANG}{}", words.replace('\n', " "));
                }
                Piece::Command(command) if label.starts_with('\n') => {
                    let _ = writeln!(text, "{label}{VERBATIM}{command}");
                }
                Piece::Command(command) => {
                    let _ = writeln!(text, "{VERBATIM}{:<LABEL$}{command}", "");
                }
            }
            label = format!("{:<LABEL$}", "");
        }
    }
    text.push('\n');
    for class in kind.classes() {
        let _ = writeln!(text, "{:<LABEL$}{HANG}{}", class.as_str(), of_class(*class));
    }
    text
}

/// What a class means for whoever decides about the box.
fn of_class(class: Class) -> &'static str {
    match class {
        Class::Config => {
            "The bundle, the settings or the IAM policy must change; a replacement instance would fail the same way."
        }
        Class::Host => "A problem of this instance; a replacement may not have it.",
        Class::External => {
            "A database, AWS or the network: a boot waits for it; a replacement would not help."
        }
    }
}

fn as_json(kind: Kind) -> Value {
    let explanation = kind.explanation();
    let [detected, causes, confirm, fix] = explanation.parts().map(|(_, part)| {
        let pieces = Piece::of(part).filter_map(|piece| match piece {
            Piece::Paragraph(words) => Some(words.replace('\n', " ")),
            Piece::Command(_) => None,
        });
        pieces.collect::<Vec<_>>().join(" ")
    });
    let commands: Vec<&str> = explanation
        .parts()
        .into_iter()
        .flat_map(|(_, part)| Piece::of(part))
        .filter_map(|piece| match piece {
            Piece::Command(command) => Some(command),
            Piece::Paragraph(_) => None,
        })
        .collect();
    json!({
        "kind": kind,
        "area": kind.area().as_str(),
        "classes": kind.classes(),
        "meaning": explanation.meaning,
        "detected": detected,
        "causes": causes,
        "confirm": confirm,
        "commands": commands,
        "fix": fix,
    })
}

/// `docs/causes.md`.
#[cfg(test)]
pub(crate) fn markdown() -> String {
    let mut text = String::from(
        "# Causes\n\n\
         Every failure has a kind, such as `tls.expired`. `agent explain KIND` prints what stands here about it.\n\
         Generated from `src/kind/`; do not edit. To write it again: `REGENERATE=1 cargo test --lib kind::`\n\n\
         The class says what a replacement instance would do about it:\n\n",
    );
    for class in [Class::Config, Class::Host, Class::External] {
        let _ = writeln!(text, "- `{class}`: {}", of_class(class));
    }
    let links = Area::ALL.iter().map(|area| format!("[{area}](#{area})"));
    let _ = writeln!(text, "\n{}", links.collect::<Vec<_>>().join(" · "));
    for area in Area::ALL {
        let _ = writeln!(text, "\n## {area}");
        for kind in area.kinds() {
            let explanation = kind.explanation();
            let meaning = prose(explanation.meaning);
            let _ = writeln!(text, "\n### {kind}\n\n{meaning} Class: {}.", kind.classes_in_words());
            for (label, part) in explanation.parts() {
                let mut label = format!("\n**{label}:** ");
                let mut in_code = false;
                for piece in Piece::of(part) {
                    match piece {
                        Piece::Paragraph(words) => {
                            let _ = writeln!(text, "{label}{}", prose(words));
                        }
                        Piece::Command(command) => {
                            if !label.is_empty() {
                                let _ = writeln!(text, "{}", label.trim_end());
                            }
                            let _ = writeln!(text, "{}    {command}", if in_code { "" } else { "\n" });
                        }
                    }
                    in_code = matches!(piece, Piece::Command(_));
                    label = String::new();
                }
            }
        }
    }
    text
}

/// Text that Markdown shows as it is.
#[cfg(test)]
fn prose(words: &str) -> String {
    words.chars().fold(String::new(), |mut text, c| {
        if matches!(c, '<' | '>' | '*' | '\\' | '`' | '$' | '[' | ']') {
            text.push('\\');
        }
        text.push(c);
        text
    })
}
