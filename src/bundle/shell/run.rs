//! The imagined shell: what each command does to the variables.

use super::builtins::{self, Effect, Special};
use super::expand::{Expanded, LONGEST_VALUE};
use super::lexer::{Word, WordPart};
use super::parser::{Assignment, Chain, Command, Joint, Pipeline};
use super::state::{Run, Status};
use super::value::{Barrier, Construct, Remark, Unknown, Value, Variable};

impl Run {
    pub(super) fn chain(&mut self, chain: &Chain) -> Result<(), Barrier> {
        self.chains += 1;
        self.slips_of_chain(chain);
        if chain.background.is_some() {
            // All of it runs in a process of its own, and whatever it does there is lost.
            return Ok(());
        }
        let mut status = Status::Succeeds;
        for Pipeline { joint, commands, .. } in &chain.pipelines {
            let runs = match (joint, status) {
                (Joint::Always, _)
                | (Joint::IfSucceeded, Status::Succeeds)
                | (Joint::IfFailed, Status::Fails) => true,
                (_, Status::Unknown) => false,
                // It does not run, and the status stays what it was.
                _ => continue,
            };
            status = match commands.as_slice() {
                [command] => {
                    let condition = Unknown { what: Construct::Condition, at: command.at };
                    let ended = self.command(command, (!runs).then_some(&condition))?;
                    if runs { ended } else { Status::Unknown }
                }
                // Each runs in a process of its own; how the last one ends is not known.
                commands => {
                    let at = commands.first().map_or(0, |command| command.at);
                    let unknown = Unknown { what: Construct::Command("|".to_owned()), at };
                    self.stop_if(self.stops_at_failure, unknown)?;
                    Status::Unknown
                }
            };
        }
        Ok(())
    }

    /// Runs one command; `doubt` says why it may not run.
    fn command(&mut self, command: &Command, doubt: Option<&Unknown>) -> Result<Status, Barrier> {
        self.side_effects(command)?;
        self.slips_of_command(command);
        let redirected =
            command.redirections.first().map(|r| Unknown { what: Construct::Redirection, at: r.at });
        if let Some(redirected) = redirected.clone().filter(|_| self.stops_at_failure) {
            return Err(Barrier(redirected));
        }
        let cut = command.cut.map(|at| Unknown { what: Construct::FinalBackslash, at });
        let doubt = doubt.or(cut.as_ref());
        if let Some(cut) = cut.clone().filter(|_| self.stops_at_failure || self.sourced) {
            return Err(Barrier(cut));
        }
        if command.words.is_empty() {
            return self.assignments(command, doubt, redirected);
        }
        let doubt = doubt.or(redirected.as_ref());
        // A name out of a variable is looked up like any other, but `export` by that way would read its words differently.
        let name = command.words.first().and_then(|name| {
            let is_program = |name: &String| matches!(builtins::effect(name), Effect::Program);
            let sure = self.field(name).filter(|text| name.pieces.iter().all(is_char) || is_program(text));
            sure.or_else(|| surely_a_program(name))
        });
        let Some(name) = name else { return Err(Barrier::new(Construct::ComputedCommand, command.at)) };
        let unknown = || Unknown { what: Construct::Command(name.clone()), at: command.at };
        let status = match builtins::effect(&name) {
            Effect::Nothing => match name.as_str() {
                ":" | "true" if doubt.is_none() => Status::Succeeds,
                "false" if doubt.is_none() => Status::Fails,
                _ => Status::Unknown,
            },
            Effect::Export => self.export(command, doubt)?,
            Effect::Unset => self.unset(command, doubt)?,
            Effect::Set => self.set(command, doubt)?,
            Effect::ChangesAnything => {
                self.sourced = true;
                self.may_change_all(command.at, unknown())
            }
            Effect::Barrier => return Err(Barrier(unknown())),
            Effect::Program if self.sourced => self.may_change_all(command.at, unknown()),
            Effect::Program => {
                self.remark(command.at, Remark::Command(name.clone()));
                Status::Unknown
            }
        };
        self.stop_if(self.stops_at_failure && status != Status::Succeeds, unknown())?;
        Ok(status)
    }

    /// A command that only assigns. Its redirections come after that, so that the variables are set even if one fails.
    fn assignments(
        &mut self,
        command: &Command,
        doubt: Option<&Unknown>,
        redirected: Option<Unknown>,
    ) -> Result<Status, Barrier> {
        let assigns = |word: &Word| word.pieces.iter().any(|piece| matches!(piece, WordPart::Assigns { .. }));
        let entangled = redirected.clone().filter(|_| command.redirections.iter().any(assigns));
        let doubt = doubt.or(entangled.as_ref());
        for assignment in &command.assignments {
            self.assign(assignment, doubt, None)?;
        }
        let is_plain = |assignment: &Assignment| {
            let runs_nothing = |piece: &WordPart| {
                matches!(piece, WordPart::Char { .. } | WordPart::Empty | WordPart::Variable { .. })
            };
            Special::of(&assignment.name) == Special::Ordinary
                && assignment.value.pieces.iter().all(runs_nothing)
        };
        let sure = doubt.is_none() && redirected.is_none() && command.assignments.iter().all(is_plain);
        Ok(if sure { Status::Succeeds } else { Status::Unknown })
    }

    fn may_change_all(&mut self, at: usize, unknown: Unknown) -> Status {
        self.remark(at, Remark::MayChangeAll(unknown.what.clone()));
        self.lose_all(&unknown);
        Status::Unknown
    }

    fn stop_if(&self, stops: bool, unknown: Unknown) -> Result<(), Barrier> {
        if stops { Err(Barrier(unknown)) } else { Ok(()) }
    }

    /// What the expansions of a command do besides giving a value.
    fn side_effects(&mut self, command: &Command) -> Result<(), Barrier> {
        let values = command.assignments.iter().map(|assignment| &assignment.value);
        for piece in values.chain(&command.words).chain(&command.redirections).flat_map(|word| &word.pieces) {
            match piece {
                WordPart::Assigns { name, at } => {
                    let unknown = Unknown { what: Construct::Expansion, at: *at };
                    if Special::of(name) == Special::ReadOnly {
                        return Err(Barrier(unknown));
                    }
                    self.lose(name, &unknown);
                }
                WordPart::Opaque { what, at } if self.stops_at_failure || self.stops_at_unset => {
                    return Err(Barrier::new(what.clone(), *at));
                }
                WordPart::Variable { name, at, .. }
                    if self.stops_at_unset && !matches!(self.reading.value(name), Value::Known(_)) =>
                {
                    return Err(Barrier::new(Construct::Inherited(name.clone()), *at));
                }
                _ => {}
            }
        }
        Ok(())
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
        let inherited = || Unknown { what: Construct::Inherited(name.to_owned()), at: assignment.at };
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
            new.value = Err(Unknown { what: Construct::TooLong, at: assignment.at });
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
            spoilt_by: new.spoilt_by,
        };
        if self.slipped.get(name).is_some_and(|chain| *chain < self.chains) {
            self.slipped.remove(name);
        }
        self.reading.variables.insert(name.to_owned(), variable);
        Ok(())
    }
}

/// The start of a command's name that no builtin has, whatever bash makes of the patterns and variables after it.
fn surely_a_program(name: &Word) -> Option<String> {
    let mut start = String::new();
    for piece in &name.pieces {
        match piece {
            WordPart::Char { c, quoted, .. } if *quoted || !"*?[{~".contains(*c) => start.push(*c),
            _ => break,
        }
    }
    (start.contains('/') || start.rfind(':').is_some_and(|at| at > 0)).then_some(start)
}

fn is_char(piece: &WordPart) -> bool {
    matches!(piece, WordPart::Char { .. } | WordPart::Empty)
}
