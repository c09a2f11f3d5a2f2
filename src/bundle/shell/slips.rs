//! Lines that were meant as assignments and are none to bash. Each is recognised by its form; what bash makes of it is
//! followed where every command is.

use super::lexer::{Word, WordPart, is_name};
use super::parser::{self, Assignment, Chain, Command, Pipeline};
use super::state::Run;
use super::value::{AssignmentError, Remark};

impl Run {
    fn slip(&mut self, at: usize, slip: AssignmentError, variable: impl Into<String>) {
        let variable = variable.into();
        self.slipped.insert(variable.clone(), self.chains);
        self.remark(at, Remark::AssignmentError(slip, variable));
    }

    /// The mistakes that lie in how commands are joined.
    pub(super) fn slips_of_chain(&mut self, chain: &Chain) {
        if let Some((at, variable)) = self.after_semicolon.take()
            && chain
                .pipelines
                .first()
                .and_then(|pipeline| pipeline.commands.first())
                .is_some_and(is_rest_of_value)
        {
            self.slip(at, AssignmentError::Semicolon, variable);
        }
        for Pipeline { commands, pipe, .. } in &chain.pipelines {
            if let (Some(at), Some(variable)) = (pipe, commands.first().and_then(last_assigned)) {
                self.slip(*at, AssignmentError::Pipe, variable.name);
            }
        }
        let last = chain.pipelines.last().and_then(|pipeline| pipeline.commands.last());
        let Some(variable) = last.and_then(last_assigned) else { return };
        if let Some(at) = chain.background {
            self.slip(at, AssignmentError::Background, variable.name);
        } else if let Some(at) = chain.glued_semicolon
            && is_long(&variable.value)
        {
            self.after_semicolon = Some((at, variable.name));
        }
    }

    /// The mistakes within one command.
    pub(super) fn slips_of_command(&mut self, command: &Command) {
        if let (Some(redirection), Some(variable)) = (command.redirections.first(), last_assigned(command)) {
            self.slip(redirection.at, AssignmentError::Redirection, variable.name);
        }
        let Some(name) = command.words.first() else { return };
        let rest = &command.words[1..];
        let at = command.at;
        let plain = name.plain().unwrap_or_default();
        if let Some(last) = command.assignments.last() {
            if last.value.pieces.is_empty() {
                self.slip(last.at, AssignmentError::SpaceAroundEquals, &last.name);
            } else if is_long(&last.value) {
                self.slip(name.at, AssignmentError::Blank, &last.name);
            }
            return;
        }
        if is_name(&plain)
            && rest.first().is_some_and(begins_with_equals)
            && plain != "export"
            && plain != "set"
        {
            return self.slip(at, AssignmentError::SpaceAroundEquals, plain);
        }
        match plain.as_str() {
            "export" => self.slips_of_export(rest),
            "set" => {
                let first =
                    rest.iter().find(|word| !word.plain().is_some_and(|word| word.starts_with(['-', '+'])));
                if let Some(variable) = first.and_then(|word| meant(word, rest)) {
                    self.slip(at, AssignmentError::Set, variable);
                }
            }
            "env" | "setenv" => {
                let named =
                    |word: &Word| parser::assignment(word).ok().flatten().map(|assignment| assignment.name);
                let first = rest.first().filter(|_| rest.len() <= 2);
                let variable =
                    first.and_then(|word| named(word).or_else(|| word.plain().filter(|word| is_name(word))));
                if let Some(variable) = variable {
                    self.slip(at, AssignmentError::OtherShell, variable);
                }
            }
            _ => {
                if let Some((variable, _)) = plain.split_once(':').filter(|(variable, _)| is_name(variable)) {
                    self.slip(at, AssignmentError::Colon, variable);
                } else if let Some(variable) = dollar_assignment(name) {
                    self.slip(at, AssignmentError::Dollar, variable);
                }
            }
        }
    }

    fn slips_of_export(&mut self, words: &[Word]) {
        for (index, word) in words.iter().enumerate() {
            let Some(next) = words.get(index + 1) else {
                if let Some(variable) = dollar_assignment(word) {
                    self.slip(word.at, AssignmentError::Dollar, variable);
                }
                return;
            };
            let assignment = parser::assignment(word).ok().flatten();
            if let Some(name) = word.plain().filter(|name| is_name(name)) {
                if begins_with_equals(next) {
                    return self.slip(word.at, AssignmentError::SpaceAroundEquals, name);
                }
            } else if let Some(variable) = dollar_assignment(word) {
                return self.slip(word.at, AssignmentError::Dollar, variable);
            } else if let Some(Assignment { name, value, .. }) = assignment
                && parser::assignment(next).is_ok_and(|assignment| assignment.is_none())
                && !next
                    .plain()
                    .is_some_and(|next| self.reading.variables.contains_key(&next) || next.starts_with('-'))
            {
                let slip = if value.pieces.is_empty() {
                    AssignmentError::SpaceAroundEquals
                } else {
                    AssignmentError::Blank
                };
                let is_name = next.plain().is_some_and(|next| is_name(&next));
                if slip == AssignmentError::SpaceAroundEquals || !is_name || is_long(&value) {
                    return self.slip(
                        if slip == AssignmentError::Blank { next.at } else { word.at },
                        slip,
                        name,
                    );
                }
            }
        }
    }
}

/// `NAME=value` or the `NAME` of `NAME = value`.
fn meant(word: &Word, words: &[Word]) -> Option<String> {
    if let Some(assignment) = parser::assignment(word).ok().flatten() {
        return Some(assignment.name);
    }
    let second = words.iter().skip_while(|other| !std::ptr::eq(*other, word)).nth(1);
    word.plain().filter(|name| is_name(name) && second.is_some_and(begins_with_equals))
}

fn begins_with_equals(word: &Word) -> bool {
    matches!(word.pieces.first(), Some(WordPart::Char { c: '=', quoted: false, .. }))
}

/// The variable of `$NAME=value` or `${NAME}=value`.
pub(super) fn dollar_assignment(word: &Word) -> Option<&str> {
    match word.pieces.as_slice() {
        [
            WordPart::Variable { name, quoted: false, .. },
            WordPart::Char { c: '=', quoted: false, .. },
            ..,
        ] => Some(name),
        _ => None,
    }
}

/// The last assignment of a command that does nothing but assign.
fn last_assigned(command: &Command) -> Option<Assignment> {
    match command.words.split_first() {
        None => command.assignments.last().cloned(),
        Some((name, rest)) if name.plain().as_deref() == Some("export") => {
            rest.iter().rev().find_map(|word| parser::assignment(word).ok().flatten())
        }
        Some(_) => None,
    }
}

/// Whether a value is long enough to have been meant as one, an address above all.
fn is_long(value: &Word) -> bool {
    let text: String = value
        .pieces
        .iter()
        .filter_map(|piece| match piece {
            WordPart::Char { c, .. } => Some(*c),
            WordPart::Variable { .. } => Some('$'),
            _ => None,
        })
        .collect();
    text.contains("://") || (text.contains('$') && text.contains(['?', '/']))
}

/// Whether a command right after a `;` reads like the end of an address: `ssl=true`.
fn is_rest_of_value(command: &Command) -> bool {
    let is_setting =
        |name: &str| name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    match (command.assignments.first(), command.words.first().and_then(Word::plain)) {
        (Some(first), _) => !is_setting(&first.name),
        (None, Some(name)) => {
            !matches!(name.as_str(), "export" | "unset" | "set" | "source" | "." | "echo" | ":" | "true")
        }
        (None, None) => true,
    }
}
