//! The imagined shell: what each command does to the variables.

use std::collections::BTreeMap;

use super::builtins::{self, Effect, Special};
use super::parser::{Assignment, Chain, Command};
use super::words::{self, Piece, Word};
use super::{Barrier, Reading, Remark, Stretch, Unknown, Value, Variable, What};

/// What the longest value may be, in bytes. A line that doubles a variable makes 2^n bytes out of n lines.
const LONGEST_VALUE: usize = 64 * 1024;

/// What all expansions of variables together may come to, in bytes; far beyond any file that people write.
const LARGEST_SUM: usize = 2 * 1024 * 1024;

/// A word's value, and where its parts stand.
pub(super) struct Expanded {
    pub(super) value: Result<String, Unknown>,
    pub(super) stretches: Vec<Stretch>,
}

/// The state of the imagined shell.
pub(super) struct Run {
    pub(super) reading: Reading,
    /// `set -a`
    pub(super) all_exported: bool,
    /// `set -u`
    pub(super) stops_at_unset: bool,
    /// `set -e`
    pub(super) stops_at_failure: bool,
    /// Whether another file has run, so that any command may be a function.
    sourced: bool,
    /// What is left of [`LARGEST_SUM`].
    left: usize,
}

impl Run {
    pub(super) fn new() -> Self {
        Run {
            reading: Reading {
                variables: BTreeMap::new(),
                lost: None,
                remarks: Vec::new(),
                comments: Vec::new(),
            },
            all_exported: false,
            stops_at_unset: false,
            stops_at_failure: false,
            sourced: false,
            left: LARGEST_SUM,
        }
    }

    fn remark(&mut self, at: usize, remark: Remark) {
        self.reading.remarks.push((at, remark));
    }

    pub(super) fn lose(&mut self, name: &str, unknown: &Unknown) {
        let variable = Variable {
            value: Value::Unknown(unknown.clone()),
            exported: None,
            at: unknown.at,
            stretches: Vec::new(),
        };
        self.reading.variables.insert(name.to_owned(), variable);
    }

    pub(super) fn lose_all(&mut self, unknown: &Unknown) {
        self.reading.variables.clear();
        self.reading.lost = Some(unknown.clone());
    }

    pub(super) fn chain(&mut self, chain: &Chain) -> Result<(), Barrier> {
        if let (Some(at), [Command { assignments, words, .. }]) =
            (chain.background, chain.commands.as_slice())
            && let (Some(last), true) = (assignments.last(), words.is_empty())
        {
            self.remark(at, Remark::Ampersand(last.name.clone()));
        }
        let doubt = match chain.background {
            Some(at) => Some(Unknown { what: What::Background, at }),
            None if chain.is_certain() => None,
            None => chain.commands.first().map(|c| Unknown { what: What::Condition, at: c.at }),
        };
        chain.commands.iter().try_for_each(|command| self.command(command, doubt.as_ref()))
    }

    /// Runs one command; `doubt` says why it may not run, or not in this shell.
    fn command(&mut self, command: &Command, doubt: Option<&Unknown>) -> Result<(), Barrier> {
        self.side_effects(command)?;
        let redirected = command.redirections.first().map(|r| Unknown { what: What::Redirection, at: r.at });
        let doubt = doubt.or(redirected.as_ref());
        if command.words.is_empty() {
            if let (Some(redirected), Some(last)) = (&redirected, command.assignments.last()) {
                self.remark(redirected.at, Remark::Redirection(last.name.clone()));
            }
            return command
                .assignments
                .iter()
                .try_for_each(|assignment| self.assign(assignment, doubt, None));
        }
        let Some(name) = command.words.first().and_then(Word::literal) else {
            return Err(Barrier::new(What::ComputedCommand, command.at));
        };
        self.spaces_around_equals(command, &name);
        let unknown = || Unknown { what: What::Command(name.clone()), at: command.at };
        match builtins::effect(&name) {
            Effect::Nothing => self.stop_if(self.stops_at_failure, unknown()),
            Effect::Export => self.export(command, doubt),
            Effect::Unset => self.unset(command, doubt),
            Effect::Set => self.set(command, doubt),
            Effect::ChangesAnything => {
                self.sourced = true;
                self.remark(command.at, Remark::MayChangeAll(What::Command(name.clone())));
                self.lose_all(&unknown());
                self.stop_if(self.stops_at_failure, unknown())
            }
            Effect::Barrier => Err(Barrier(unknown())),
            Effect::Program if self.sourced => {
                self.remark(command.at, Remark::MayChangeAll(What::Command(name.clone())));
                self.lose_all(&unknown());
                self.stop_if(self.stops_at_failure, unknown())
            }
            Effect::Program => {
                self.remark(command.at, Remark::Command(name.clone()));
                self.stop_if(self.stops_at_failure, unknown())
            }
        }
    }

    fn stop_if(&self, stops: bool, unknown: Unknown) -> Result<(), Barrier> {
        if stops { Err(Barrier(unknown)) } else { Ok(()) }
    }

    /// What the expansions of a command do besides giving a value.
    fn side_effects(&mut self, command: &Command) -> Result<(), Barrier> {
        let values = command.assignments.iter().map(|assignment| &assignment.value);
        for piece in values.chain(&command.words).chain(&command.redirections).flat_map(|word| &word.pieces) {
            match piece {
                Piece::Assigns { name, at } => {
                    let unknown = Unknown { what: What::Expansion, at: *at };
                    if Special::of(name) == Special::ReadOnly {
                        return Err(Barrier(unknown));
                    }
                    self.lose(name, &unknown);
                }
                Piece::Opaque { what, at } if self.stops_at_failure || self.stops_at_unset => {
                    return Err(Barrier::new(what.clone(), *at));
                }
                Piece::Variable { name, at, .. }
                    if self.stops_at_unset && !matches!(self.reading.value(name), Value::Known(_)) =>
                {
                    return Err(Barrier::new(What::Inherited(name.clone()), *at));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// `NAME = value` is the command `NAME`, and `NAME= value` the command `value`: neither is what was meant.
    fn spaces_around_equals(&mut self, command: &Command, name: &str) {
        let second = command.words.get(1).and_then(Word::plain);
        if words::is_name(name) && second.is_some_and(|second| second.starts_with('=')) {
            self.remark(command.at, Remark::SpaceAroundEquals(name.to_owned()));
        } else if let Some(last) = command.assignments.last().filter(|last| last.value.pieces.is_empty()) {
            self.remark(last.at, Remark::SpaceAroundEquals(last.name.clone()));
        }
    }

    fn assign(
        &mut self,
        assignment: &Assignment,
        doubt: Option<&Unknown>,
        exported: Option<bool>,
    ) -> Result<(), Barrier> {
        let expanded = self.expand(&assignment.value);
        self.store(assignment, expanded, doubt, exported)
    }

    pub(super) fn store(
        &mut self,
        assignment: &Assignment,
        mut new: Expanded,
        doubt: Option<&Unknown>,
        exported: Option<bool>,
    ) -> Result<(), Barrier> {
        let name = assignment.name.as_str();
        let inherited = || Unknown { what: What::Inherited(name.to_owned()), at: assignment.at };
        match Special::of(name) {
            Special::ReadOnly => return Err(Barrier(inherited())),
            Special::Dynamic => new.value = Err(inherited()),
            Special::Inherited | Special::Ordinary => {}
        }
        if assignment.appends {
            new = self.appended(name, assignment.at, new);
        }
        if let Some(doubt) = doubt {
            new.value = Err(doubt.clone());
        }
        if new.value.as_ref().is_ok_and(|value| value.len() > LONGEST_VALUE) {
            new.value = Err(Unknown { what: What::TooLong, at: assignment.at });
        }
        let stretches = if new.value.is_ok() { new.stretches } else { Vec::new() };
        let before = match self.reading.variables.get(name) {
            Some(variable) => variable.exported,
            None if self.reading.lost.is_some() || Special::of(name) != Special::Ordinary => None,
            None => Some(false),
        };
        let variable = Variable {
            value: new.value.map_or_else(Value::Unknown, Value::Known),
            exported: exported.or(self.all_exported.then_some(true)).or(before).filter(|_| doubt.is_none()),
            at: assignment.at,
            stretches,
        };
        self.reading.variables.insert(name.to_owned(), variable);
        Ok(())
    }

    fn appended(&mut self, name: &str, at: usize, new: Expanded) -> Expanded {
        match self.current(name, at) {
            Ok(before) => {
                self.left = self.left.saturating_sub(before.len());
                let mut stretches = self.stretches(name, 0);
                stretches.extend(
                    new.stretches.iter().map(|s| Stretch { in_value: s.in_value + before.len(), ..*s }),
                );
                Expanded { value: new.value.map(|added| before + &added), stretches }
            }
            Err(unknown) => Expanded { value: Err(unknown), stretches: Vec::new() },
        }
    }

    /// The stretches of a variable's value, put where that value is expanded.
    fn stretches(&self, name: &str, offset: usize) -> Vec<Stretch> {
        let stretches = self.reading.variables.get(name).map_or(&[][..], |variable| &variable.stretches);
        stretches.iter().map(|s| Stretch { in_value: s.in_value + offset, ..*s }).collect()
    }

    /// The value of a variable at this point, empty if nothing sets it.
    fn current(&self, name: &str, at: usize) -> Result<String, Unknown> {
        if self.left == 0 {
            return Err(Unknown { what: What::TooLong, at });
        }
        let inherited = !self.reading.variables.contains_key(name) && Special::of(name) != Special::Ordinary;
        match self.reading.value(name) {
            _ if inherited => Err(Unknown { what: What::Inherited(name.to_owned()), at }),
            Value::Known(value) => Ok(value),
            Value::Unset => Ok(String::new()),
            Value::Unknown(unknown) => Err(unknown),
        }
    }

    /// Expands the value of an assignment. Bash neither splits it nor matches it against file names.
    pub(super) fn expand(&mut self, word: &Word) -> Expanded {
        let mut value = String::new();
        let mut stretches: Vec<Stretch> = Vec::new();
        let mut unknown = None;
        let mut before = '=';
        for piece in &word.pieces {
            let mut was = '\0';
            match piece {
                Piece::Char { c, at, quoted } => {
                    if *c == '~' && !quoted && matches!(before, '=' | ':') {
                        unknown.get_or_insert(Unknown { what: What::Tilde, at: *at });
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
                Piece::Variable { name, at, .. } => {
                    match self.current(name, *at) {
                        Ok(text) if value.len() + text.len() > LONGEST_VALUE => {
                            unknown.get_or_insert(Unknown { what: What::TooLong, at: *at });
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
                    if self.reading.value(name) == Value::Unset && Special::of(name) == Special::Ordinary {
                        self.remark(*at, Remark::Unset(name.clone()));
                    }
                }
                Piece::Opaque { what, at } => {
                    unknown.get_or_insert(Unknown { what: what.clone(), at: *at });
                }
                Piece::Assigns { at, .. } => {
                    unknown.get_or_insert(Unknown { what: What::Expansion, at: *at });
                }
                Piece::Empty => {}
            }
            before = was;
        }
        Expanded { value: unknown.map_or(Ok(value), Err), stretches }
    }
}
