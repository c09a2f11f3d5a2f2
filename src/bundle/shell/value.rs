//! What is known of variables, and what there is to report about a file.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A construct that this reader does not follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Construct {
    CommandSubstitution,
    /// Backquotes or `$(…)` round an address, which bash then runs as a program.
    AddressAsCommand,
    Arithmetic,
    Expansion,
    /// `$$`
    ProcessId,
    /// `$1`, `$?` and the like, by their last character.
    Parameter(char),
    AnsiCQuotes,
    LocaleQuotes,
    Tilde,
    Braces,
    Array,
    Parenthesis,
    HereDocument,
    Redirection,
    Condition,
    ControlCharacter,
    /// A `\` with nothing after it.
    FinalBackslash,
    TooLong,
    Keyword(String),
    Command(String),
    ComputedCommand,
    Inherited(String),
    Syntax(&'static str),
}

impl std::fmt::Display for Construct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Construct::CommandSubstitution => "a command substitution",
            Construct::AddressAsCommand => "an address in backquotes or $(…)",
            Construct::Arithmetic => "an arithmetic expansion",
            Construct::Expansion => "a parameter expansion other than ${NAME}",
            Construct::ProcessId => "$$, the shell's process ID",
            Construct::Parameter(c) => return write!(f, "the special parameter ${c}"),
            Construct::AnsiCQuotes => "$'…' quoting",
            Construct::LocaleQuotes => "$\"…\" quoting",
            Construct::Tilde => "an unquoted ~ (tilde expansion)",
            Construct::Braces => "an unquoted { } list (brace expansion)",
            Construct::Array => "an array",
            Construct::Parenthesis => "an unquoted parenthesis",
            Construct::HereDocument => "a here-document",
            Construct::Redirection => "a redirection (unquoted < or >)",
            Construct::Condition => "a command joined by && or ||",
            Construct::ControlCharacter => "a control character",
            Construct::FinalBackslash => "a backslash at the end of the file",
            Construct::TooLong => "a value of more than 64 KiB",
            Construct::Keyword(keyword) => return write!(f, "the keyword `{keyword}`"),
            Construct::Command(command) => return write!(f, "the command `{command}`"),
            Construct::ComputedCommand => "a command whose name is computed",
            Construct::Inherited(name) => return write!(f, "${name}, which is set outside this file"),
            Construct::Syntax(what) => what,
        })
    }
}

/// Why a value is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Unknown {
    pub(in super::super) what: Construct,
    /// Byte offset of the construct.
    pub(in super::super) at: usize,
}

/// A construct after which nothing is sure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Barrier(pub(super) Unknown);

impl Barrier {
    pub(super) fn new(what: Construct, at: usize) -> Self {
        Barrier(Unknown { what, at })
    }

    pub(super) fn syntax(what: &'static str, at: usize) -> Self {
        Barrier::new(Construct::Syntax(what), at)
    }
}

/// The value of a variable once the file has been sourced.
#[derive(Clone, PartialEq, Eq)]
pub(in super::super) enum Value {
    Known(String),
    Unset,
    Unknown(Unknown),
}

/// A variable that the file sets.
#[derive(Clone, PartialEq, Eq)]
pub(in super::super) struct Variable {
    pub(in super::super) value: Value,
    /// Whether it is exported by the file itself; `None` where that is unknown.
    pub(in super::super) exported: Option<bool>,
    /// Byte offset of the assignment that gave it its value.
    pub(in super::super) at: usize,
    /// Ascending by their offsets in the value.
    pub(super) stretches: Vec<Stretch>,
    /// The variables that the value is made of and that nothing sets, or not as was meant.
    pub(in super::super) spoilt_by: BTreeSet<String>,
}

/// A part of a value that stands in the file as it is, be it in the assignment of another variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) in_value: usize,
    pub(super) in_file: usize,
}

impl Variable {
    pub(super) fn new(value: Value, at: usize) -> Self {
        Variable { value, exported: None, at, stretches: Vec::new(), spoilt_by: BTreeSet::new() }
    }

    /// Where in the file the byte of the value stands, also if it came there out of another variable.
    pub(in super::super) fn place(&self, offset: usize) -> usize {
        let index = self.stretches.partition_point(|stretch| stretch.in_value <= offset);
        index
            .checked_sub(1)
            .and_then(|index| self.stretches.get(index))
            .map_or(self.at, |stretch| stretch.in_file + (offset - stretch.in_value))
    }
}

/// Something to report that is not about one value alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Remark {
    /// From here on nothing is known.
    Barrier(Construct),
    /// Any variable may have changed here.
    MayChangeAll(Construct),
    /// A command that is no assignment; it is assumed to change no variable.
    Command(String),
    /// A variable that nothing has set is expanded, to nothing.
    Unset(String),
    /// What was meant as an assignment to this variable is none to bash, or not of the whole value. What the variable
    /// holds instead is known all the same, unless [`AssignmentError::Redirection`] fails.
    AssignmentError(AssignmentError, String),
}

/// How an assignment went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum AssignmentError {
    /// An unquoted `&` runs it in the background, in a process of its own: the variable stays as it was.
    Background,
    /// An unquoted `|` runs it in a process of its own: the variable stays as it was.
    Pipe,
    /// An unquoted `<` or `>` ends the value.
    Redirection,
    /// An unquoted `;` ends the value.
    Semicolon,
    /// A blank within the value ends it; without `export` the variable is not even set.
    Blank,
    /// `NAME = value`, `NAME= value` or `NAME =value`.
    SpaceAroundEquals,
    /// `set NAME=value` sets `$1`.
    Set,
    /// `$NAME=value` runs what the variable holds.
    Dollar,
    /// `NAME: value` runs `NAME:`.
    Colon,
    /// `setenv` and `env` set nothing in bash.
    OtherShell,
}

/// What the file does, as far as it can be known.
pub(in super::super) struct Sourced {
    pub(super) variables: BTreeMap<String, Variable>,
    /// Set when a variable that is not in the map may have been changed all the same.
    pub(super) lost: Option<Unknown>,
    pub(in super::super) remarks: Vec<(usize, Remark)>,
    pub(in super::super) comments: Vec<Range<usize>>,
}

impl Sourced {
    /// The value of a variable after the file.
    pub(in super::super) fn value(&self, name: &str) -> Value {
        match (self.variables.get(name), &self.lost) {
            (Some(variable), _) => variable.value.clone(),
            (None, Some(unknown)) => Value::Unknown(unknown.clone()),
            (None, None) => Value::Unset,
        }
    }

    /// The variables that the file sets, as far as it could be followed.
    pub(in super::super) fn variables(&self) -> &BTreeMap<String, Variable> {
        &self.variables
    }
}
