//! What bash's own commands and variables do to the variables of a file.

use super::export::is_no_name;
use super::lexer::{Word, WordPart, is_name};
use super::parser::Command;
use super::state::{Run, Status};
use super::value::{Barrier, Construct, Unknown, Value, Variable};

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
    /// `unset NAME…`
    pub(super) fn unset(&mut self, command: &Command, doubt: Option<&Unknown>) -> Result<Status, Barrier> {
        let unknown = Unknown { what: Construct::Command("unset".to_owned()), at: command.at };
        let mut status = Status::Succeeds;
        for word in command.words.iter().skip(1) {
            if is_no_name(word) {
                status = Status::Fails;
                continue;
            }
            let name = word.literal().filter(|name| is_name(name) && Special::of(name) == Special::Ordinary);
            let Some(name) = name else { return Err(Barrier(unknown)) };
            let (value, exported) = match doubt {
                Some(doubt) => (Value::Unknown(doubt.clone()), None),
                None => (Value::Unset, Some(false)),
            };
            self.reading.variables.insert(name, Variable { exported, ..Variable::new(value, word.at) });
        }
        Ok(if doubt.is_none() { status } else { Status::Unknown })
    }

    /// `set` with the options that leave assignments what they are. The first word that is no option and all after it
    /// become `$1`, `$2` and so on.
    pub(super) fn set(&mut self, command: &Command, doubt: Option<&Unknown>) -> Result<Status, Barrier> {
        let barrier = || Barrier::new(Construct::Command("set".to_owned()), command.at);
        if !command.assignments.is_empty() {
            return Err(barrier());
        }
        let mut words = command.words.iter().skip(1);
        while let Some(word) = words.next() {
            if is_positional(word) {
                break;
            }
            let word = word.literal().ok_or_else(barrier)?;
            if word == "--" {
                break;
            }
            let on = word.starts_with('-');
            let letters =
                word.strip_prefix(['-', '+']).filter(|letters| !letters.is_empty()).ok_or_else(barrier)?;
            if doubt.is_some() {
                return Err(barrier());
            }
            for letter in letters.chars() {
                let name = match letter {
                    'o' => words.next().and_then(Word::literal).ok_or_else(barrier)?,
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
        Ok(if doubt.is_none() { Status::Succeeds } else { Status::Unknown })
    }
}

/// Whether a word of `set` is surely no option, whatever it expands to.
fn is_positional(word: &Word) -> bool {
    matches!(word.pieces.first(), Some(WordPart::Char { c, .. }) if !"-+*?[{~".contains(*c))
}
