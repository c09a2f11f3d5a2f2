//! What words come to: variables put in, and where each part of a value stands in the file.

use std::collections::BTreeSet;

use super::builtins::Special;
use super::lexer::{Word, WordPart};
use super::state::Run;
use super::value::{Construct, Remark, Stretch, Unknown, Value};

/// The longest value that is followed, in bytes. A line that doubles a variable makes 2^n bytes out of n lines.
pub(super) const LONGEST_VALUE: usize = 64 * 1024;

/// How many of the variables that spoil a value are handed on to the values made of it.
const MOST_SPOILERS: usize = 16;

/// A word's value, and where its parts stand.
pub(super) struct Expanded {
    pub(super) value: Result<String, Unknown>,
    pub(super) stretches: Vec<Stretch>,
    /// The variables in it that nothing sets, or not as was meant.
    pub(super) spoilt_by: BTreeSet<String>,
}

impl Expanded {
    /// A value that stands nowhere in particular.
    pub(super) fn of(value: Result<String, Unknown>) -> Self {
        Expanded { value, stretches: Vec::new(), spoilt_by: BTreeSet::new() }
    }
}

impl Run {
    /// Expands the value of an assignment. Bash neither splits it nor matches it against file names.
    pub(super) fn expand(&mut self, word: &Word) -> Expanded {
        let mut value = String::new();
        let mut stretches: Vec<Stretch> = Vec::new();
        let mut spoilt_by = BTreeSet::new();
        let mut unknown = None;
        let mut before = '=';
        for piece in &word.pieces {
            let mut was = '\0';
            match piece {
                WordPart::Char { c, at, quoted } => {
                    if *c == '~' && !quoted && matches!(before, '=' | ':') {
                        unknown.get_or_insert(Unknown { what: Construct::Tilde, at: *at });
                    }
                    let follows = stretches
                        .last()
                        .is_some_and(|s| *at >= s.in_file && value.len() - s.in_value == at - s.in_file);
                    if !follows {
                        stretches.push(Stretch { in_value: value.len(), in_file: *at });
                    }
                    value.push(*c);
                    was = if *quoted { '\0' } else { *c };
                }
                WordPart::Variable { name, at, .. } => {
                    match self.current(name, *at) {
                        Ok(text) if value.len() + text.len() > LONGEST_VALUE => {
                            unknown.get_or_insert(Unknown { what: Construct::TooLong, at: *at });
                        }
                        Ok(text) => {
                            self.left = self.left.saturating_sub(text.len());
                            stretches.extend(self.stretches(name, value.len()));
                            value.push_str(&text);
                        }
                        Err(why) => {
                            unknown.get_or_insert(why);
                        }
                    }
                    if self.slipped.contains_key(name) {
                        spoilt_by.insert(name.clone());
                    } else if self.is_unset(name) {
                        self.remark(*at, Remark::Unset(name.clone()));
                        spoilt_by.insert(name.clone());
                    }
                    if let Some(variable) = self.reading.variables.get(name) {
                        spoilt_by.extend(variable.spoilt_by.iter().take(MOST_SPOILERS).cloned());
                    }
                }
                WordPart::Opaque { what, at } => {
                    unknown.get_or_insert(Unknown { what: what.clone(), at: *at });
                }
                WordPart::Assigns { at, .. } => {
                    unknown.get_or_insert(Unknown { what: Construct::Expansion, at: *at });
                }
                WordPart::Empty => {}
            }
            before = was;
        }
        Expanded { value: unknown.map_or(Ok(value), Err), stretches, spoilt_by }
    }

    /// The value of a variable at this point, empty if nothing sets it.
    fn current(&self, name: &str, at: usize) -> Result<String, Unknown> {
        if self.left == 0 {
            return Err(Unknown { what: Construct::TooLong, at });
        }
        let inherited = !self.reading.variables.contains_key(name) && Special::of(name) != Special::Ordinary;
        match self.reading.value(name) {
            _ if inherited => Err(Unknown { what: Construct::Inherited(name.to_owned()), at }),
            Value::Known(value) => Ok(value),
            Value::Unset => Ok(String::new()),
            Value::Unknown(unknown) => Err(unknown),
        }
    }

    fn is_unset(&self, name: &str) -> bool {
        self.reading.value(name) == Value::Unset && Special::of(name) == Special::Ordinary
    }

    /// A value added to what the variable holds.
    pub(super) fn appended(&mut self, name: &str, at: usize, mut new: Expanded) -> Expanded {
        match self.current(name, at) {
            Ok(before) => {
                self.left = self.left.saturating_sub(before.len());
                let mut stretches = self.stretches(name, 0);
                stretches.extend(
                    new.stretches.iter().map(|s| Stretch { in_value: s.in_value + before.len(), ..*s }),
                );
                if let Some(variable) = self.reading.variables.get(name) {
                    new.spoilt_by.extend(variable.spoilt_by.iter().take(MOST_SPOILERS).cloned());
                }
                Expanded {
                    value: new.value.map(|added| before + &added),
                    stretches,
                    spoilt_by: new.spoilt_by,
                }
            }
            Err(unknown) => Expanded::of(Err(unknown)),
        }
    }

    /// The stretches of a variable's value, put where that value is expanded.
    fn stretches(&self, name: &str, offset: usize) -> Vec<Stretch> {
        let stretches = self.reading.variables.get(name).map_or(&[][..], |variable| &variable.stretches);
        stretches.iter().map(|s| Stretch { in_value: s.in_value + offset, ..*s }).collect()
    }

    /// The one field that a word of a command comes to, if that is sure: no pattern, brace or tilde that bash might
    /// expand, and no unquoted variable whose value it might split.
    pub(super) fn field(&self, word: &Word) -> Option<String> {
        let mut field = String::new();
        let mut is_quoted = false;
        for piece in &word.pieces {
            is_quoted |= matches!(piece, WordPart::Empty | WordPart::Variable { quoted: true, .. });
            match piece {
                WordPart::Char { c, quoted, .. } if *quoted || !"*?[{~".contains(*c) => field.push(*c),
                WordPart::Variable { name, at, quoted } => {
                    let value = self.current(name, *at).ok()?;
                    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_/:.@%+=-".contains(c);
                    let splits = !quoted
                        && (!value.chars().all(is_plain) || self.reading.variables.contains_key("IFS"));
                    if splits || field.len() + value.len() > LONGEST_VALUE {
                        return None;
                    }
                    field.push_str(&value);
                }
                WordPart::Empty => {}
                _ => return None,
            }
        }
        // Without quotes a word that comes to nothing is no field at all.
        (is_quoted || !field.is_empty()).then_some(field)
    }
}
