//! `circle-installation-customizations`: shell assignments that the app sources, among them its databases' addresses.

mod lint;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::addresses::{Address, DatabaseUri};
use super::file_name::FileName;
use super::finding::{Diagnostics, Severity};
use super::shell::{self, Construct, Sourced, Unknown, Value, Variable};
use super::text::{has_placeholder, placeholders};
use crate::cause::Cause;
use crate::database::uri::{self, Parsed, Product, UriError};
use crate::kind::Kind;

pub(super) use lint::{explained, is_of_the_app, unknown};

/// The variables that hold database addresses: name, kind, the database that the app expects there.
pub(super) const VARIABLES: [(&str, Product, &str); 6] = [
    ("CIRCLE_SECRETS_MONGODB_MAIN_URI", Product::Mongo, "circle_ghe"),
    ("CIRCLE_SECRETS_MONGODB_ACTION_LOGS_URI", Product::Mongo, "circle_ghe"),
    ("CIRCLE_SECRETS_MONGODB_BUILD_STATE_URI", Product::Mongo, "build_state_dev_ghe"),
    ("CIRCLE_SECRETS_MONGODB_CONTAINERS_URI", Product::Mongo, "containers_dev_ghe"),
    (REMOTE_CONTAINERS, Product::Mongo, "remote_containers_dev_ghe"),
    (POSTGRES_MAIN, Product::Postgres, "circle"),
];

/// How many addresses are looked into besides those that every release of the app has.
const MOST_ADDRESSES: usize = 200;

const POSTGRES_MAIN: &str = "CIRCLE_SECRETS_POSTGRES_MAIN_URI";

/// Known to newer releases of the app alone, so that its absence means nothing.
const REMOTE_CONTAINERS: &str = "CIRCLE_SECRETS_MONGODB_REMOTE_CONTAINERS_URI";

/// What a person calls the database of a variable: `mongodb.build_state` for `CIRCLE_SECRETS_MONGODB_BUILD_STATE_URI`.
pub(super) fn database_name(variable: &str) -> String {
    let name = variable.trim_start_matches("CIRCLE_SECRETS_").trim_end_matches("_URI").to_lowercase();
    name.replacen('_', ".", 1)
}

/// Notes what is wrong with a file that a shell sources, apart from the variables that are addresses by their name.
pub(super) fn check_shell(
    notes: &mut Diagnostics<'_>,
    name: &FileName,
    text: &str,
    reading: &Sourced,
    is_address: impl Fn(&str) -> bool,
) {
    lint::check(notes, name, text, reading);
    let explained = lint::explained(reading);
    // Base addresses first: what is wrong in one shows in every address that is made of it, and is said once, where it is.
    let mut others: Vec<(&String, &Variable)> =
        reading.variables().iter().filter(|(name, _)| !is_address(name)).collect();
    others.sort_by_key(|(_, variable)| variable.at);
    let is_address =
        |variable: &Variable| matches!(&variable.value, Value::Known(value) if kind_of(value).is_some());
    // What an address is made of is no address yet: its options may come with the rest.
    let used: BTreeSet<usize> = reading
        .variables()
        .iter()
        .filter(|(name, _)| kind_of_variable(name).is_some())
        .map(|(_, variable)| variable.place(0))
        .collect();
    for (name, variable) in
        others.into_iter().filter(|(_, variable)| is_address(variable)).take(MOST_ADDRESSES)
    {
        if let Value::Known(value) = &variable.value
            && let Some(kind) = kind_of(value)
            && !has_placeholder(value)
            && !explained.contains(name)
            && !unexpanded(notes, name, variable, value, reading)
        {
            // What is wrong with it has been noted, and it is no address of its own.
            let warns = !used.contains(&variable.place(0));
            let _ = parsed(notes, kind, name, variable, value, warns);
        }
    }
}

/// Notes everything that is wrong, and gives the addresses that are set: every `CIRCLE_SECRETS_(MONGODB|POSTGRES)_…_URI`.
/// With `postgres_elsewhere`, `circleconfig/` has PostgreSQL's address.
pub(super) fn check(
    notes: &mut Diagnostics<'_>,
    name: &FileName,
    text: &str,
    reading: &Sourced,
    postgres_elsewhere: bool,
) -> Vec<DatabaseUri> {
    check_shell(notes, name, text, reading, |name| kind_of_variable(name).is_some());
    let explained = lint::explained(reading);
    let further =
        reading.variables().keys().filter_map(|name| kind_of_variable(name).map(|kind| (name, kind)));
    let further = further.filter(|(name, _)| !VARIABLES.iter().any(|(known, ..)| known == name));
    let further: Vec<(&String, Product)> = further.take(MOST_ADDRESSES + 1).collect();
    if further.len() > MOST_ADDRESSES {
        let sentence = format!("More than {MOST_ADDRESSES} database addresses are set.");
        let next_step = "Remove the addresses that the app does not use.";
        notes.error(None, Cause::config(Kind::CustomizationsTooManyAddresses, sentence, next_step));
    }
    let further = further.into_iter().take(MOST_ADDRESSES);
    let known_variables =
        VARIABLES.iter().map(|(variable, kind, database)| (*variable, *kind, Some(*database)));
    let variables = known_variables.chain(further.map(|(variable, kind)| (variable.as_str(), kind, None)));
    let mut unknown: BTreeMap<usize, (Unknown, Vec<&str>)> = BTreeMap::new();
    let mut addresses = Vec::new();
    for (variable, kind, database) in variables {
        let address = match (reading.value(variable), reading.variables().get(variable)) {
            (Value::Unknown(why), set) => {
                unknown.entry(why.at).or_insert_with(|| (why.clone(), Vec::new())).1.push(variable);
                exported(notes, variable, set);
                Some(Address::Unknown { line: notes.position(why.at).line, what: why.what.to_string() })
            }
            (Value::Known(value), Some(set)) if !value.trim().is_empty() => {
                exported(notes, variable, Some(set));
                if explained.contains(variable)
                    || has_placeholder(&value)
                    || unexpanded(notes, variable, set, &value, reading)
                {
                    // What is wrong with it has been reported, and is the one thing to correct.
                    let parsed = uri::parse_as(kind, &value);
                    Some(parsed.map_or_else(Address::Malformed, |uri| Address::Known(Box::new(uri))))
                } else {
                    Some(known(notes, variable, kind, database, set, &value))
                }
            }
            (_, set) => {
                if let Some(database) = database.filter(|_| !explained.contains(variable)) {
                    missing(notes, variable, database, set, postgres_elsewhere);
                }
                None
            }
        };
        addresses.extend(address.map(|address| DatabaseUri {
            name: database_name(variable),
            setting: variable.to_owned(),
            kind,
            address,
        }));
    }
    // A syntax error has been named; so has `<password>`, which is a redirection if it is not quoted.
    let placeholders: Vec<_> = placeholders(text).collect();
    let named = |at: usize, what: &Construct| {
        matches!(what, Construct::Syntax(_))
            || placeholders.iter().any(|range| (range.start..=range.end).contains(&at))
    };
    for (at, (why, mut variables)) in unknown {
        variables.retain(|variable| !explained.contains(*variable));
        if !named(at, &why.what) && !variables.is_empty() {
            lint::unknown(notes, &why, &variables);
        }
    }
    addresses
}

/// Reads the file; apart from [`check`] so that its secrets can be made known before anything is said.
pub(super) fn read(text: &str) -> Sourced {
    shell::read(text)
}

/// The product that a variable addresses by its name, `CIRCLE_SECRETS_(MONGODB|POSTGRES)_…_URI`.
fn kind_of_variable(name: &str) -> Option<Product> {
    let rest = name.strip_prefix("CIRCLE_SECRETS_")?.strip_suffix("_URI")?;
    let (product, database) = rest.split_once('_')?;
    let is_plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    if database.is_empty() || !database.bytes().all(is_plain) {
        return None;
    }
    match product {
        "MONGODB" => Some(Product::Mongo),
        "POSTGRES" => Some(Product::Postgres),
        _ => None,
    }
}

fn kind_of(value: &str) -> Option<Product> {
    let begins = |schemes: &[&str]| schemes.iter().any(|scheme| value.starts_with(scheme));
    if begins(&["mongodb://", "mongodb+srv://"]) {
        Some(Product::Mongo)
    } else if begins(&["postgres://", "postgresql://"]) {
        Some(Product::Postgres)
    } else {
        None
    }
}

/// Whether a `$NAME` or `${NAME}` stands in an address as it is, because of single quotes; notes that once for a name.
fn unexpanded(
    notes: &mut Diagnostics<'_>,
    name: &str,
    variable: &Variable,
    value: &str,
    reading: &Sourced,
) -> bool {
    let found = value.match_indices('$').find_map(|(at, _)| {
        let rest = &value[at + 1..];
        let braced = rest.strip_prefix('{');
        let inner = braced.unwrap_or(rest);
        let length = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inner.len());
        let named = &inner[..length];
        let is_closed = inner[length..].starts_with('}');
        let is_variable = !named.is_empty() && !named.starts_with(|c: char| c.is_ascii_digit());
        let counts = if braced.is_some() { is_closed } else { reading.variables().contains_key(named) };
        (is_variable && counts && named != name).then(|| (at, named.to_owned()))
    });
    let Some((at, named)) = found else { return false };
    let at = variable.place(at);
    let is_set = reading.variables().contains_key(&named);
    let (sentence, next_step) = if is_set {
        (
            format!("${named} is in single quotes, so bash does not expand it."),
            format!("Use double quotes: export {name}=\"…\""),
        )
    } else {
        (
            format!("${{{named}}} is in single quotes and was not filled in: {name} contains it literally."),
            format!("Render the template that should fill in ${{{named}}}, or write the value itself."),
        )
    };
    let cause = Cause::config(Kind::CustomizationsUnexpandedVariable, sentence, next_step);
    notes.error_once(at, &named, name, cause);
    true
}

/// The address, if it can be read; notes what is wrong or doubtful about it at the very place.
fn parsed(
    notes: &mut Diagnostics<'_>,
    kind: Product,
    name: &str,
    variable: &Variable,
    value: &str,
    warns: bool,
) -> Result<Parsed, UriError> {
    match uri::parse_as(kind, value) {
        Ok(parsed) => {
            // Addresses that begin with the same text of the file share what is wrong with it.
            for warning in parsed.warnings().iter().filter(|_| warns) {
                let subject = format!("{}@{}", warning.kind, variable.place(0));
                let cause = warning.clone().with("variable", name);
                notes.add_once(Severity::Warning, variable.at, &subject, name, cause);
            }
            Ok(parsed)
        }
        Err(error) => {
            let offset = error.column.map_or(0, |column| column.saturating_sub(1));
            let at = if error.column.is_some() { variable.place(offset) } else { variable.at };
            notes.error(at, Cause::from(error.clone()).with("variable", name));
            Err(error)
        }
    }
}

fn known(
    notes: &mut Diagnostics<'_>,
    variable: &str,
    kind: Product,
    database: Option<&str>,
    set: &Variable,
    value: &str,
) -> Address {
    let parsed = match parsed(notes, kind, variable, set, value, true) {
        Ok(parsed) => parsed,
        Err(error) => return Address::Malformed(error),
    };
    let named = match &parsed {
        Parsed::Mongo(uri) => uri.database.as_deref(),
        Parsed::Postgres(uri) => uri.effective_database(),
        Parsed::Vault(_) => None,
    };
    if let Some(database) = database
        && named != Some(database)
    {
        let sentence = match named {
            Some(named) => format!("{variable} names the database {named:?}; the app uses {database:?}."),
            None => format!("{variable} names no database; the app needs {database:?}."),
        };
        let cause = Cause::config(
            Kind::CustomizationsDatabaseName,
            sentence,
            format!("Write /{database} after the host and port."),
        );
        // Another name can be meant; none at all cannot, for MongoDB: the app has no default to fall back to.
        if named.is_none() && kind == Product::Mongo {
            notes.error(set.at, cause)
        } else {
            notes.warning(set.at, cause)
        }
    }
    Address::Known(Box::new(parsed))
}

/// Notes that a variable is set without `export`.
pub(super) fn exported(notes: &mut Diagnostics<'_>, variable: &str, set: Option<&Variable>) {
    if let Some(set) = set.filter(|set| set.exported == Some(false)) {
        let sentence = format!("{variable} is set but not exported, so the app may not see it.");
        let cause = Cause::config(
            Kind::CustomizationsNotExported,
            sentence,
            format!("Write export before {variable}."),
        );
        notes.warning(set.at, cause);
    }
}

/// Without a main address the app starts databases of its own on this box, and what they hold goes with the box. The
/// others matter less.
fn missing(
    notes: &mut Diagnostics<'_>,
    variable: &str,
    database: &str,
    set: Option<&Variable>,
    postgres_elsewhere: bool,
) {
    if variable == POSTGRES_MAIN && postgres_elsewhere {
        return;
    }
    let example = match variable {
        POSTGRES_MAIN => format!("postgres://user:password@host:5432/{database}"),
        _ => format!("mongodb://user:password@host:27017/{database}"),
    };
    let state = if set.is_some() { "is empty" } else { "is missing" };
    let lost = "the app then keeps that database on this box, and it is lost with the box";
    let sentence = match variable {
        POSTGRES_MAIN => {
            format!("{variable} {state}, and so is POSTGRES_HOST in circleconfig/shared/postgresql: {lost}.")
        }
        _ => format!("{variable} {state}: {lost}."),
    };
    let cause = Cause::config(
        Kind::CustomizationsMissingDatabase,
        sentence,
        format!("Add: export {variable}='{example}'"),
    );
    let at = set.map(|set| set.at);
    match variable {
        REMOTE_CONTAINERS if set.is_none() => {}
        _ if variable.ends_with("_MAIN_URI") => notes.error(at, cause),
        _ => notes.warning(at, cause),
    }
}
