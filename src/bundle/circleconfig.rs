//! `circleconfig/`, which bundles of 2.x have: shell files that the app's services source. `shared/postgresql` addresses
//! the services' PostgreSQL, `shared/vault` their Vault, `SERVICE/customizations` holds overrides of one service.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::addresses::{Address, DatabaseUri, SERVICE_DATABASES, VAULT, service_name};
use super::fetched::ExtraFile;
use super::finding::{Diagnostics, Finding};
use super::shell::{Sourced, Unknown, Value};
use super::{customizations, host, text};
use crate::cause::Cause;
use crate::database::uri::{self, Parsed, Product, UriError, VaultUri};
use crate::kind::Kind;

/// Where the directory is installed.
pub(crate) const PLACE: &str = "/etc/circleconfig";

/// Where `circleci-encryption-keys/` is installed. What was encrypted with these keys cannot be read without them.
pub(crate) const ENCRYPTION_KEYS: &str = "/data/circle/circleci-encryption-keys";

/// What libpq's URIs read as it stands.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const POSTGRES_VARIABLES: [&str; 4] =
    ["POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_USER", "POSTGRES_PASSWORD"];

/// Each of them begins so.
const VAULT_PREFIX: &str = "VAULT__";

const VAULT_VARIABLES: [&str; 5] =
    ["VAULT__SCHEME", "VAULT__HOST", "VAULT__PORT", "VAULT__CLIENT_TOKEN", "VAULT__TRANSIT_MOUNT"];

const SHARED_VAULT: &str = "circleconfig/shared/vault";

const POSTGRES: &str = "circleconfig/shared/postgresql";

/// What the directory says.
#[derive(Debug, Default)]
pub(super) struct Circleconfig {
    pub(super) findings: Vec<Finding>,
    /// Whether it addresses PostgreSQL, rightly or wrongly.
    pub(super) has_postgres: bool,
    /// One for each of [`SERVICE_DATABASES`], or none; and Vault's.
    pub(super) databases: Vec<DatabaseUri>,
    /// The text of each file by its name.
    pub(super) texts: BTreeMap<String, String>,
}

/// Whether this file is sourced by a shell.
fn is_shell(below: &Path) -> bool {
    let parts: Vec<Component<'_>> = below.components().collect();
    let part = |index: usize| parts.get(index).and_then(|part| part.as_os_str().to_str());
    matches!(
        (part(0), part(1), parts.len()),
        (Some("shared"), Some("postgresql" | "vault"), 2) | (Some(_), Some("customizations"), 2)
    )
}

/// Reads every file of the directory that a shell sources.
pub(super) fn read(extra: &[ExtraFile]) -> Circleconfig {
    let mut found = Circleconfig::default();
    for file in extra {
        let Ok(below) = file.path.strip_prefix(PLACE) else { continue };
        if !is_shell(below) {
            continue;
        }
        let name = format!("circleconfig/{}", below.display());
        let (text, of_bytes) = text::decode(&name, &file.content);
        found.findings.extend(of_bytes);
        let Some(original) = text else { continue };
        let text = text::unix_line_ends(&original).into_owned();
        let mut notes = Diagnostics::new(&name, &text);
        let reading = customizations::read(&text);
        text::windows_line_ends(&mut notes, &name, &original, true);
        text::pasted(&mut notes, &name, &text, &reading.comments, text::Templates::Shell);
        customizations::check_shell(&mut notes, &(&name).into(), &text, &reading, |_| false);
        if name == POSTGRES {
            let settings = Settings { name: POSTGRES, reading: &reading };
            found.has_postgres = settings.sets_postgres();
            found.databases.extend(settings.postgres(&mut notes));
        }
        if name == SHARED_VAULT {
            found.databases.extend(vault(&mut notes, SHARED_VAULT, &reading));
        }
        found.findings.extend(notes.finish());
        found.texts.insert(name, text);
    }
    found
}

/// Vault's address as one file sets it.
pub(super) fn vault(
    notes: &mut Diagnostics<'_>,
    name: &'static str,
    reading: &Sourced,
) -> Option<DatabaseUri> {
    let address = Settings { name, reading }.vault(notes)?;
    Some(DatabaseUri { name: VAULT.to_owned(), setting: name.to_owned(), kind: Product::Vault, address })
}

/// The variables of one file.
struct Settings<'r> {
    name: &'static str,
    reading: &'r Sourced,
}

/// The value of a variable that an address is made of.
enum Part {
    Set {
        value: String,
        at: usize,
    },
    /// Not set, or empty: then there is a place.
    Missing(Option<usize>),
}

/// The address that parts lead to of which some are unknown, which is noted.
fn unknown(notes: &mut Diagnostics<'_>, parts: &[(&str, Result<Part, Unknown>)]) -> Option<Address> {
    let unknown = parts.iter().filter_map(|(variable, part)| part.as_ref().err().map(|why| (*variable, why)));
    let unknown: Vec<(&str, &Unknown)> = unknown.collect();
    let (_, why) = unknown.first()?;
    let variables: Vec<&str> = unknown.iter().map(|(variable, _)| *variable).collect();
    customizations::unknown(notes, why, &variables);
    Some(Address::Unknown { line: notes.position(why.at).line, what: why.what.to_string() })
}

impl Settings<'_> {
    fn part(&self, notes: &mut Diagnostics<'_>, variable: &str) -> Result<Part, Unknown> {
        let set = self.reading.variables().get(variable);
        match self.reading.value(variable) {
            Value::Unknown(why) => Err(why),
            Value::Known(value) => {
                customizations::exported(notes, variable, set);
                let value = value.trim().to_owned();
                match set.map(|set| set.at) {
                    Some(at) if !value.is_empty() => Ok(Part::Set { value, at }),
                    at => Ok(Part::Missing(at)),
                }
            }
            Value::Unset => Ok(Part::Missing(None)),
        }
    }

    /// A template that nobody has filled in sets nothing.
    fn sets_postgres(&self) -> bool {
        POSTGRES_VARIABLES.iter().any(|variable| self.reading.value(variable) != Value::Unset)
    }

    fn postgres(&self, notes: &mut Diagnostics<'_>) -> Vec<DatabaseUri> {
        if !self.sets_postgres() {
            return Vec::new();
        }
        // What is wrong with them has been reported.
        let explained = customizations::explained(self.reading);
        if POSTGRES_VARIABLES.iter().any(|variable| explained.contains(*variable)) {
            return Vec::new();
        }
        let parts = POSTGRES_VARIABLES.map(|variable| (variable, self.part(notes, variable)));
        if let Some(address) = unknown(notes, &parts) {
            return self.each(|_| address.clone());
        }
        let [host, port, user, password] = parts.map(|(_, part)| part.unwrap_or(Part::Missing(None)));
        let host = self.host(notes, "POSTGRES_HOST", host, "POSTGRES_PORT");
        let user = self.needed(notes, "POSTGRES_USER", user);
        let port = self.port(notes, "POSTGRES_PORT", port, Product::Postgres);
        let password = match password {
            Part::Set { value, .. } => Some(value),
            Part::Missing(at) => {
                let cause = Cause::config(
                    Kind::CircleconfigNoPassword,
                    format!("{} sets no POSTGRES_PASSWORD.", self.name),
                    "Add: export POSTGRES_PASSWORD='…'",
                );
                notes.warning(at, cause);
                None
            }
        };
        let (Some((host, at)), Some((user, _)), Some(port)) = (host, user, port) else { return Vec::new() };
        let encoded = |text: &str| utf8_percent_encode(text, PLAIN).to_string();
        let login = match password {
            Some(password) => format!("{}:{}", encoded(&user), encoded(&password)),
            None => encoded(&user),
        };
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let mut refused = None;
        let addresses = self.each(|database| {
            match uri::parse_as(Product::Postgres, &format!("postgres://{login}@{host}:{port}/{database}")) {
                Ok(uri) => Address::Known(Box::new(uri)),
                Err(error) => {
                    refused.get_or_insert_with(|| error.clone());
                    Address::Malformed(error)
                }
            }
        });
        if let Some(error) = refused {
            notes.error(at, Cause::from(error));
        }
        addresses
    }

    fn vault(&self, notes: &mut Diagnostics<'_>) -> Option<Address> {
        let sets_any = self.reading.variables().keys().any(|name| name.starts_with(VAULT_PREFIX));
        if !sets_any {
            return None;
        }
        // What is wrong with them has been reported.
        let explained = customizations::explained(self.reading);
        if VAULT_VARIABLES.iter().any(|variable| explained.contains(*variable)) {
            return None;
        }
        let parts = VAULT_VARIABLES.map(|variable| (variable, self.part(notes, variable)));
        if let Some(address) = unknown(notes, &parts) {
            return Some(address);
        }
        let [scheme, host, port, token, mount] = parts.map(|(_, part)| part.unwrap_or(Part::Missing(None)));
        let tls = match self.needed(notes, "VAULT__SCHEME", scheme) {
            Some((scheme, at)) => match scheme.as_str() {
                "https" => Some(true),
                "http" => Some(false),
                _ => {
                    self.wrong(
                        notes,
                        at,
                        "VAULT__SCHEME is neither http nor https.",
                        "Write export VAULT__SCHEME='https'",
                    );
                    None
                }
            },
            None => None,
        };
        let host = self.host(notes, "VAULT__HOST", host, "VAULT__PORT");
        let port = self.port(notes, "VAULT__PORT", port, Product::Vault);
        let token = self.needed(notes, "VAULT__CLIENT_TOKEN", token);
        let mount = match mount {
            Part::Set { value, .. } => value,
            Part::Missing(_) => "transit".to_owned(),
        };
        let ((host, _), (token, at)) = (host?, token?);
        if text::has_placeholder(&token) {
            return None;
        }
        match VaultUri::new(tls?, &host, port?, &token, &mount) {
            Ok(uri) => Some(Address::Known(Box::new(Parsed::Vault(uri)))),
            Err(error) => {
                notes.error(at, Cause::from(UriError::clone(&error)));
                Some(Address::Malformed(error))
            }
        }
    }

    /// A host name without anything around it.
    fn host(
        &self,
        notes: &mut Diagnostics<'_>,
        variable: &str,
        part: Part,
        port: &str,
    ) -> Option<(String, usize)> {
        let (host, at) = self.needed(notes, variable, part)?;
        if text::has_placeholder(&host) {
            return Some((host, at));
        }
        match host::flaw(&host) {
            None => Some((host, at)),
            Some(flaw) => {
                let next_step = format!("Write only the host name or address; the port belongs in {port}.");
                self.wrong(notes, at, format!("The host name in {variable} {flaw}."), &next_step);
                None
            }
        }
    }

    fn port(&self, notes: &mut Diagnostics<'_>, variable: &str, part: Part, kind: Product) -> Option<u16> {
        let (value, at) = match part {
            Part::Missing(_) => return Some(kind.default_port()),
            Part::Set { value, at } => (value, at),
        };
        let port = value.parse().ok().filter(|port| *port > 0);
        if port.is_none() && !text::has_placeholder(&value) {
            let next_step = format!(
                "Write a number from 1 to 65535, or remove it: the default is {}.",
                kind.default_port()
            );
            self.wrong(notes, at, format!("{variable} is not a port number."), &next_step);
        }
        port
    }

    fn each(&self, mut address: impl FnMut(&str) -> Address) -> Vec<DatabaseUri> {
        let databases = SERVICE_DATABASES.iter().map(|database| DatabaseUri {
            name: service_name(database),
            setting: self.name.to_owned(),
            kind: Product::Postgres,
            address: address(database),
        });
        databases.collect()
    }

    /// The value, with its place; an error is noted when there is none.
    fn needed(&self, notes: &mut Diagnostics<'_>, variable: &str, part: Part) -> Option<(String, usize)> {
        match part {
            Part::Set { value, at } => Some((value, at)),
            Part::Missing(at) => {
                let state = if at.is_some() { "is empty" } else { "is not set" };
                let cause = Cause::config(
                    Kind::CircleconfigMissing,
                    format!("{variable} {state} in {}.", self.name),
                    format!("Add: export {variable}='…'"),
                );
                notes.error(at, cause);
                None
            }
        }
    }

    fn wrong(&self, notes: &mut Diagnostics<'_>, at: usize, sentence: impl AsRef<str>, next_step: &str) {
        notes.error(at, Cause::config(Kind::CircleconfigValue, sentence, next_step));
    }
}
