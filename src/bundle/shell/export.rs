//! `export`, by which the variables of the app are set.

use super::builtins::Special;
use super::expand::Expanded;
use super::lexer::{Word, WordPart, is_name, is_name_part};
use super::parser::{self, Assignment, Command};
use super::state::{Run, Status};
use super::value::{Barrier, Construct, Unknown, Value, Variable};

impl Run {
    /// `export`: all its words are expanded before the first of them is assigned. A word that is neither a name nor an
    /// assignment is refused, and the others count all the same.
    pub(super) fn export(&mut self, command: &Command, doubt: Option<&Unknown>) -> Result<Status, Barrier> {
        let unknown = Unknown { what: Construct::Command("export".to_owned()), at: command.at };
        // An assignment before `export` is undone after it.
        for assignment in &command.assignments {
            self.lose(&assignment.name, &unknown);
        }
        let doubt = doubt.or(if command.assignments.is_empty() { None } else { Some(&unknown) });
        let mut ready: Vec<(Assignment, Option<Expanded>)> = Vec::new();
        let mut status = Status::Succeeds;
        for (index, word) in command.words.iter().enumerate().skip(1) {
            if let Some(assignment) = parser::assignment(word)? {
                let mut expanded = self.expand(&assignment.value);
                if let Some(at) = brace_list(&assignment.value) {
                    expanded.value = Err(Unknown { what: Construct::Braces, at });
                }
                ready.push((assignment, Some(expanded)));
                continue;
            }
            if is_no_name(word) {
                status = Status::Fails;
                continue;
            }
            let Some(text) = self.field(word) else { return Err(Barrier(unknown)) };
            let assignment = |name: &str| Assignment {
                name: name.to_owned(),
                appends: false,
                at: word.at,
                value: Word::default(),
            };
            match text.split_once('=') {
                _ if text.starts_with('-') => {
                    if text != "--" || index != 1 {
                        return Err(Barrier(unknown));
                    }
                }
                None if is_name(&text) => ready.push((assignment(&text), None)),
                Some((name, content)) if is_name(name) => {
                    ready.push((assignment(name), Some(Expanded::of(Ok(content.to_owned())))));
                }
                // `NAME+=value` and `NAME[…]` out of a variable.
                _ if is_addition_or_element(&text) => return Err(Barrier(unknown)),
                _ => status = Status::Fails,
            }
        }
        for (assignment, expanded) in ready {
            match expanded {
                Some(expanded) => self.store(&assignment, expanded, doubt, Some(true))?,
                None => self.mark_exported(&assignment, doubt),
            }
        }
        if doubt.is_some() { Ok(Status::Unknown) } else { Ok(status) }
    }

    fn mark_exported(&mut self, assignment: &Assignment, doubt: Option<&Unknown>) {
        let exported = if doubt.is_none() { Some(true) } else { None };
        match self.reading.variables.get_mut(&assignment.name) {
            Some(variable) => variable.exported = exported,
            // Exported before it is assigned: it stays without a value until then.
            None if self.reading.lost.is_none() && Special::of(&assignment.name) == Special::Ordinary => {
                let variable = Variable { exported, ..Variable::new(Value::Unset, assignment.at) };
                self.reading.variables.insert(assignment.name.clone(), variable);
            }
            None => {}
        }
    }
}

/// Whether the word can neither be a name nor an assignment, whatever bash makes of the patterns and braces in it: what
/// stands before those stays.
pub(super) fn is_no_name(word: &Word) -> bool {
    let mut refused = false;
    let mut decided = false;
    for piece in &word.pieces {
        match piece {
            WordPart::Char { c, quoted, .. } => {
                decided |= *c == '=' || (!quoted && "*?[{~+".contains(*c));
                refused |= !decided && !is_name_part(*c) && *c != '-';
                // `=value`, `1=value`
                refused |= std::ptr::eq(piece, &word.pieces[0]) && (*c == '=' || c.is_ascii_digit());
            }
            WordPart::Empty | WordPart::Variable { quoted: true, .. } => decided = true,
            _ => return false,
        }
    }
    refused
}

fn is_addition_or_element(text: &str) -> bool {
    let rest = text.trim_start_matches(is_name_part);
    is_name(&text[..text.len() - rest.len()]) && (rest.starts_with("+=") || rest.starts_with('['))
}

/// Where bash expands braces in a word: an unquoted `{` with an unquoted `,` or `..` after it.
fn brace_list(word: &Word) -> Option<usize> {
    let mut open = None;
    let mut before = '\0';
    for piece in &word.pieces {
        let WordPart::Char { c, at, quoted: false } = piece else {
            before = '\0';
            continue;
        };
        match c {
            '{' => open = open.or(Some(*at)),
            ',' if open.is_some() => return open,
            '.' if open.is_some() && before == '.' => return open,
            _ => {}
        }
        before = *c;
    }
    None
}
