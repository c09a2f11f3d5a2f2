//! Findings about the shell constructs of a file, apart from its addresses.
//!
//! One mistake is one finding: its consequences, on the same line or in derived values, are not reported again.

use std::collections::{BTreeMap, BTreeSet};

use crate::bundle::file_name::FileName;
use crate::bundle::finding::{Diagnostics, Severity};
use crate::bundle::shell::{AssignmentError, Construct, Remark, Sourced, Unknown, Value};
use crate::bundle::text::placeholders;
use crate::cause::Cause;
use crate::kind::Kind;
use crate::suggest::closest;

/// How many lines or variables are listed in one finding.
const MOST_LISTED: usize = 12;

pub(super) fn check(notes: &mut Diagnostics<'_>, name: &FileName, text: &str, reading: &Sourced) {
    notes.drop_consequences();
    let placeholders: Vec<_> = placeholders(text).collect();
    let is_placeholder = |at: usize| {
        let index = placeholders.partition_point(|range| range.start <= at);
        index.checked_sub(1).is_some_and(|index| at <= placeholders[index].end)
    };
    let spoilt = spoilt(reading);
    let mut slipped_line = None;
    for (at, remark) in &reading.remarks {
        let at = *at;
        let line = notes.line(at);
        match remark {
            Remark::Barrier(Construct::Syntax(what)) => notes.error(at, syntax(name, what)),
            Remark::Barrier(what) => notes.warning(at, barrier(what)),
            Remark::MayChangeAll(what) => notes.warning(at, may_change_all(what)),
            Remark::AssignmentError(..) | Remark::Command(_) if slipped_line == Some(line) => {}
            Remark::Command(command) => match variable_in(command) {
                Some(variable) if notes.escalate(line, Kind::BundleInvisibleCharacter, variable) => {}
                Some(variable) => notes.error(at, not_assigned(variable)),
                None => notes.warning(at, ignored_command(command)),
            },
            Remark::AssignmentError(slip, variable) => {
                slipped_line = Some(line);
                // `<password>` without quotes has been reported, and is the one thing to correct.
                if !(*slip == AssignmentError::Redirection && is_placeholder(at)) {
                    let cause = self::slip(*slip, variable);
                    notes.error(
                        at,
                        match spoilt.get(variable.as_str()) {
                            Some(names) => cause.with("also affects", listed(names)),
                            None => cause,
                        },
                    );
                }
            }
            Remark::Unset(_) => {}
        }
    }
    unset_variables(notes, text, reading, &spoilt);
}

/// The variables whose values have been reported by [`check`], so that nothing need be said about what they hold.
pub(in crate::bundle) fn explained(reading: &Sourced) -> BTreeSet<String> {
    let named = reading.remarks.iter().filter_map(|(_, remark)| match remark {
        Remark::AssignmentError(_, variable) => Some(variable.clone()),
        Remark::Command(command) => variable_in(command).map(str::to_owned),
        _ => None,
    });
    let made_of_nothing = reading
        .variables()
        .iter()
        .filter(|(_, variable)| !variable.spoilt_by.is_empty())
        .map(|(name, _)| name.clone());
    named.chain(made_of_nothing).collect()
}

/// Whether the app reads the variable, so that a wrong value is no matter of taste.
pub(in crate::bundle) fn is_of_the_app(name: &str) -> bool {
    ["CIRCLE_", "VAULT__", "POSTGRES_"].iter().any(|start| name.starts_with(start))
}

/// The variable of the app that a command line has in its first word: `NAME:` or `export NAME=…` with a no-break space.
fn variable_in(command: &str) -> Option<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let names = command.split(|c| !is_part(c)).filter(|name| is_of_the_app(name));
    names.max_by_key(|name| name.len())
}

fn syntax(name: &FileName, what: &str) -> Cause {
    Cause::config(
        Kind::CustomizationsSyntax,
        format!("Bash cannot parse this file: {what}."),
        format!(
            "Correct it, and put values in single quotes; this must print nothing: {}",
            name.given_to("bash -n")
        ),
    )
}

fn barrier(what: &Construct) -> Cause {
    Cause::config(
        Kind::CustomizationsUnknownRest,
        format!("{}: the values set in this file cannot be determined without running it.", capital(what)),
        "Use only lines of the form export NAME='value', so that they can be checked before a boot.",
    )
}

fn may_change_all(what: &Construct) -> Cause {
    Cause::config(
        Kind::CustomizationsUnknownRest,
        format!("{} may change any variable set before it.", capital(what)),
        "Put its assignments into this file, or move it to the top.",
    )
}

fn capital(what: &Construct) -> String {
    let text = what.to_string();
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

fn ignored_command(command: &str) -> Cause {
    // Not a part of it, which might be half a secret.
    let name = if command.chars().count() <= 40 { format!("{command:?}") } else { "A long word".to_owned() };
    Cause::config(
        Kind::CustomizationsCommand,
        format!("{name} is run as a command here; its effects are unknown."),
        "If this is meant to be a value, put it in single quotes: export NAME='value'",
    )
}

fn not_assigned(variable: &str) -> Cause {
    Cause::config(
        Kind::CustomizationsNotAssigned,
        format!("Bash runs this line as a command; {variable} is not set."),
        format!("Write: export {variable}='…'"),
    )
}

fn slip(slip: AssignmentError, variable: &str) -> Cause {
    let quote = format!("Put the whole value in single quotes: export {variable}='…'");
    let write = format!("Write: export {variable}='…'");
    let (kind, sentence, next_step) = match slip {
        AssignmentError::Background => (
            "unquoted_character",
            format!(
                "The unquoted & runs this assignment in a background subshell, so {variable} is not set."
            ),
            quote,
        ),
        AssignmentError::Pipe => (
            "unquoted_character",
            format!("The unquoted | runs this assignment in a subshell, so {variable} is not set."),
            quote,
        ),
        AssignmentError::Redirection => (
            "unquoted_character",
            format!("The unquoted < or > is a redirection and cuts off the value of {variable} here."),
            quote,
        ),
        AssignmentError::Semicolon => {
            ("unquoted_character", format!("The unquoted ; cuts off the value of {variable} here."), quote)
        }
        AssignmentError::Blank => (
            "unquoted_character",
            format!(
                "The unquoted space ends the value of {variable}; bash does not read the rest as part of it."
            ),
            quote,
        ),
        AssignmentError::SpaceAroundEquals => (
            "space_around_equals",
            format!("Bash allows no space around =, so {variable} does not get this value."),
            format!("Remove the spaces: export {variable}='…'"),
        ),
        AssignmentError::Set => (
            "not_assigned",
            format!("`set` assigns to the positional parameter $1; {variable} is not set."),
            write,
        ),
        AssignmentError::Dollar => (
            "not_assigned",
            format!("The $ makes this a command instead of an assignment; {variable} is not set."),
            format!("Remove the $: export {variable}='…'"),
        ),
        AssignmentError::Colon => (
            "not_assigned",
            format!(
                "NAME: value is YAML; bash runs \"{variable}:\" as a command, and {variable} is not set."
            ),
            write,
        ),
        AssignmentError::OtherShell => (
            "not_assigned",
            format!("`env` and `setenv` set no variable of this shell; {variable} is not set."),
            write,
        ),
    };
    let kind = match kind {
        "unquoted_character" => Kind::CustomizationsUnquotedCharacter,
        "space_around_equals" => Kind::CustomizationsSpaceAroundEquals,
        _ => Kind::CustomizationsNotAssigned,
    };
    Cause::config(kind, sentence, next_step)
}

/// Notes variables whose values are not known before a shell sources the file, because of one construct at `why.at`.
/// Where it is a mistake whatever the value comes to, that is an error.
pub(in crate::bundle) fn unknown(notes: &mut Diagnostics<'_>, why: &Unknown, variables: &[&str]) {
    if notes.affects(why.at, Kind::CustomizationsUnknownRest, variables) {
        return;
    }
    let first = variables.first().copied().unwrap_or_default();
    let quote = format!("Put the whole value in single quotes: export {first}='…'");
    let error = |kind: Kind, sentence: String, next_step: String| {
        (Severity::Error, Cause::config(kind, sentence, next_step))
    };
    let (severity, cause) = match &why.what {
        Construct::ProcessId => error(
            Kind::CustomizationsProcessId,
            format!("$$ is the process ID of the shell, so {first} holds a number here."),
            "Put the value in single quotes, or write each $ as %24 in a URI; in Terraform $${NAME} gives ${NAME}.".to_owned(),
        ),
        Construct::Parameter(c) => error(
            Kind::CustomizationsSpecialParameter,
            format!("${c} is a special parameter of the shell and not part of the value of {first}."),
            "Put the value in single quotes, or write each $ as %24 in a URI.".to_owned(),
        ),
        Construct::AddressAsCommand => error(
            Kind::CustomizationsRunsAddress,
            format!("Backquotes and $(…) run the address as a command, so {first} is left empty."),
            quote,
        ),
        Construct::Redirection => error(
            Kind::CustomizationsUnquotedCharacter,
            format!("The unquoted < or > is a redirection and cuts off the value of {first} here."),
            quote,
        ),
        Construct::Braces => error(
            Kind::CustomizationsUnquotedCharacter,
            format!("Bash expands the unquoted {{ }} here, and {first} gets only the last alternative."),
            quote,
        ),
        what => {
            let sentence = format!("The value of {first} cannot be determined without running the file: {what}.");
            let next_step =
                "Write the literal value in single quotes, or run `agent probe` on the instance to check what the app uses.";
            (Severity::Warning, Cause::config(Kind::CustomizationsUnknownValue, sentence, next_step))
        }
    };
    let also = variables.get(1..).unwrap_or_default().join(", ");
    let cause = if also.is_empty() { cause } else { cause.with("also affects", also) };
    notes.add(severity, Some(why.at), cause);
}

/// For each variable that is not set as was meant: the app's variables and the addresses that are made of it.
fn spoilt(reading: &Sourced) -> BTreeMap<&str, Vec<&str>> {
    let mut spoilt: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, variable) in reading.variables() {
        let is_address =
            matches!(&variable.value, Value::Known(value) if value.contains("://") || value.contains('@'));
        for by in variable.spoilt_by.iter().filter(|by| *by != name && (is_of_the_app(name) || is_address)) {
            spoilt.entry(by).or_default().push(name);
        }
    }
    spoilt
}

/// Some names, and how many more there are.
fn listed(names: &[&str]) -> String {
    let mut shown: Vec<String> = names.iter().take(MOST_LISTED).map(|name| (*name).to_owned()).collect();
    if names.len() > MOST_LISTED {
        shown.push(format!("and {} more", names.len() - MOST_LISTED));
    }
    shown.join(", ")
}

/// One finding for each variable that nothing sets: an error where the app's variables or an address are made of it.
fn unset_variables(
    notes: &mut Diagnostics<'_>,
    text: &str,
    reading: &Sourced,
    spoilt: &BTreeMap<&str, Vec<&str>>,
) {
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, remark) in &reading.remarks {
        if let Remark::Unset(variable) = remark {
            places.entry(variable).or_default().push(*at);
        }
    }
    for (variable, places) in places {
        let Some(first) = places.first() else { continue };
        let mut cause = unset(variable, text.get(*first..).unwrap_or_default(), reading);
        let first_line = notes.line(*first);
        let mut lines: Vec<usize> =
            places.iter().map(|at| notes.line(*at)).filter(|line| *line != first_line).collect();
        lines.dedup();
        if !lines.is_empty() {
            let lines: Vec<String> = lines.iter().map(usize::to_string).collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            cause = cause.with("also on line", listed(&lines));
        }
        match spoilt.get(variable) {
            Some(names) => notes.error(*first, cause.with("also affects", listed(names))),
            None => notes.warning(*first, cause),
        }
    }
}

fn unset(variable: &str, text: &str, reading: &Sourced) -> Cause {
    let others = reading.variables().keys().map(String::as_str).filter(|name| *name != variable);
    let is_template = text.starts_with("${") && !variable.contains(|c: char| c.is_ascii_uppercase());
    let next_step = match closest(variable, others) {
        Some(meant) => format!("Did you mean ${{{meant}}}? For a literal $, use single quotes."),
        None if is_template => {
            format!(
                "If a template should have filled in ${{{variable}}}, render it; otherwise set {variable} above this line."
            )
        }
        None => format!("Set {variable} above this line; for a literal $, use single quotes."),
    };
    Cause::config(
        Kind::CustomizationsUnsetVariable,
        format!("${variable} is never set in this file and expands to nothing."),
        next_step,
    )
}
