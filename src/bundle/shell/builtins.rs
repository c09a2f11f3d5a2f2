//! What bash's own commands and variables do to the variables of a file.

use super::parser::{self, Assignment, Command};
use super::run::{Expanded, Run};
use super::words::{Piece, Word, is_name};
use super::{Barrier, Unknown, Value, Variable, What};

/// What a command may do to variables.
pub(super) enum Effect {
    Nothing,
    Export,
    Unset,
    Set,
    /// Any variable may have changed; what is assigned later is known again.
    ChangesAnything,
    /// It may also end the file or change what assignments mean.
    Barrier,
    /// Not bash's own: runs in a process of its own.
    Program,
}

pub(super) fn effect(name: &str) -> Effect {
    match name {
        ":" | "true" | "false" | "echo" | "pwd" | "test" | "[" | "umask" => Effect::Nothing,
        "export" => Effect::Export,
        "unset" => Effect::Unset,
        "set" => Effect::Set,
        "source" | "." => Effect::ChangesAnything,
        "alias" | "bg" | "bind" | "break" | "builtin" | "caller" | "cd" | "command" | "compgen"
        | "complete" | "compopt" | "continue" | "declare" | "dirs" | "disown" | "enable" | "eval"
        | "exec" | "exit" | "fc" | "fg" | "getopts" | "hash" | "help" | "history" | "jobs" | "kill"
        | "let" | "local" | "logout" | "mapfile" | "popd" | "printf" | "pushd" | "read" | "readarray"
        | "readonly" | "return" | "shift" | "shopt" | "suspend" | "times" | "trap" | "type" | "typeset"
        | "ulimit" | "unalias" | "wait" => Effect::Barrier,
        _ => Effect::Program,
    }
}

/// What kind of variable a name is to bash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Special {
    /// Nobody but the file sets it.
    Ordinary,
    /// The shell, the login or the service manager may have set it before the file runs.
    Inherited,
    /// Its value is not what was assigned to it.
    Dynamic,
    /// Assigning to it fails, or changes how bash reads the rest.
    ReadOnly,
}

impl Special {
    pub(super) fn of(name: &str) -> Self {
        match name {
            "UID" | "EUID" | "PPID" | "SHELLOPTS" | "BASHOPTS" | "BASH_VERSINFO" | "POSIXLY_CORRECT"
            | "BASH_COMPAT" => Special::ReadOnly,
            "_" | "RANDOM" | "SRANDOM" | "SECONDS" | "LINENO" | "EPOCHSECONDS" | "EPOCHREALTIME"
            | "HISTCMD" | "FUNCNAME" | "GROUPS" | "DIRSTACK" | "PIPESTATUS" | "COLUMNS" | "LINES"
            | "SHLVL" | "OPTIND" | "OPTERR" | "OPTARG" => Special::Dynamic,
            _ if name.starts_with("BASH") || name.starts_with("COMP_") => Special::Dynamic,
            "HOME" | "PATH" | "PWD" | "OLDPWD" | "SHELL" | "USER" | "LOGNAME" | "LANG" | "LANGUAGE"
            | "TERM" | "HOSTNAME" | "HOSTTYPE" | "MACHTYPE" | "OSTYPE" | "IFS" | "PS1" | "PS2" | "PS3"
            | "PS4" | "TZ" | "MAIL" | "MAILCHECK" | "EDITOR" | "TMPDIR" | "HISTFILE" | "HISTSIZE"
            | "DISPLAY" | "SUDO_USER" | "INVOCATION_ID" | "JOURNAL_STREAM" | "NOTIFY_SOCKET"
            | "HISTFILESIZE" | "TMOUT" => Special::Inherited,
            _ if name.starts_with("LC_") || name.starts_with("XDG_") || name.starts_with("SSH_") => {
                Special::Inherited
            }
            _ if name.to_ascii_lowercase().ends_with("_proxy") => Special::Inherited,
            _ => Special::Ordinary,
        }
    }
}

impl Run {
    /// `export`: all its words are expanded before the first of them is assigned.
    pub(super) fn export(&mut self, command: &Command, doubt: Option<&Unknown>) -> Result<(), Barrier> {
        let unknown = Unknown { what: What::Command("export".to_owned()), at: command.at };
        // An assignment before `export` is undone after it.
        for assignment in &command.assignments {
            self.lose(&assignment.name, &unknown);
        }
        let doubt = doubt.or(if command.assignments.is_empty() { None } else { Some(&unknown) });
        let mut ready: Vec<(Assignment, Option<Expanded>)> = Vec::new();
        for word in command.words.iter().skip(1) {
            if let Some(assignment) = parser::assignment(word)? {
                let mut expanded = self.expand(&assignment.value);
                if let Some(at) = brace(&assignment.value) {
                    expanded.value = Err(Unknown { what: What::Braces, at });
                }
                ready.push((assignment, Some(expanded)));
                continue;
            }
            let Some(text) = word.literal() else { return Err(Barrier(unknown)) };
            let value = Word::default();
            match text.split_once('=') {
                None if is_name(&text) => {
                    ready.push((Assignment { name: text, appends: false, at: word.at, value }, None));
                }
                Some((name, content)) if is_name(name) => {
                    let at = word.at;
                    let expanded = Expanded { value: Ok(content.to_owned()), stretches: Vec::new() };
                    let assignment = Assignment { name: name.to_owned(), appends: false, at, value };
                    ready.push((assignment, Some(expanded)));
                }
                _ => return Err(Barrier(unknown)),
            }
        }
        for (assignment, expanded) in ready {
            match expanded {
                Some(expanded) => self.store(&assignment, expanded, doubt, Some(true))?,
                None => self.mark_exported(&assignment, doubt),
            }
        }
        Ok(())
    }

    fn mark_exported(&mut self, assignment: &Assignment, doubt: Option<&Unknown>) {
        let exported = if doubt.is_none() { Some(true) } else { None };
        match self.reading.variables.get_mut(&assignment.name) {
            Some(variable) => variable.exported = exported,
            // Exported before it is assigned: it stays without a value until then.
            None if self.reading.lost.is_none() && Special::of(&assignment.name) == Special::Ordinary => {
                let variable =
                    Variable { value: Value::Unset, exported, at: assignment.at, stretches: Vec::new() };
                self.reading.variables.insert(assignment.name.clone(), variable);
            }
            None => {}
        }
    }

    /// `unset NAME…`
    pub(super) fn unset(&mut self, command: &Command, doubt: Option<&Unknown>) -> Result<(), Barrier> {
        let unknown = Unknown { what: What::Command("unset".to_owned()), at: command.at };
        for word in command.words.iter().skip(1) {
            let name = word.literal().filter(|name| is_name(name) && Special::of(name) == Special::Ordinary);
            let Some(name) = name else { return Err(Barrier(unknown)) };
            let (value, exported) = match doubt {
                Some(doubt) => (Value::Unknown(doubt.clone()), None),
                None => (Value::Unset, Some(false)),
            };
            self.reading
                .variables
                .insert(name, Variable { value, exported, at: word.at, stretches: Vec::new() });
        }
        Ok(())
    }

    /// `set` with the options that leave assignments what they are.
    pub(super) fn set(&mut self, command: &Command, doubt: Option<&Unknown>) -> Result<(), Barrier> {
        let barrier = || Barrier::new(What::Command("set".to_owned()), command.at);
        if doubt.is_some() || command.words.len() < 2 || !command.assignments.is_empty() {
            return Err(barrier());
        }
        let mut words = command.words.iter().skip(1).map(Word::literal);
        while let Some(word) = words.next() {
            let word = word.ok_or_else(barrier)?;
            let on = word.starts_with('-');
            let letters =
                word.strip_prefix(['-', '+']).filter(|letters| !letters.is_empty()).ok_or_else(barrier)?;
            for letter in letters.chars() {
                let name = match letter {
                    'o' => words.next().flatten().ok_or_else(barrier)?,
                    letter => letter.to_string(),
                };
                match name.as_str() {
                    "a" | "allexport" => self.all_exported = on,
                    "e" | "errexit" => self.stops_at_failure = on,
                    "u" | "nounset" => self.stops_at_unset = on,
                    "x" | "xtrace" | "v" | "verbose" | "pipefail" => {}
                    _ => return Err(barrier()),
                }
            }
        }
        Ok(())
    }
}

/// Where a word has an unquoted `{`.
fn brace(word: &Word) -> Option<usize> {
    word.pieces.iter().find_map(|piece| match piece {
        Piece::Char { c: '{', at, quoted: false } => Some(*at),
        _ => None,
    })
}
