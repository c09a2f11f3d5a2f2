//! The queries of a climb, and what their results say about privileges, extensions and role.
//!
//! Every function, table, type and operator is schema-qualified, so that nothing in the user's search path can shadow
//! it.

use tokio_postgres::{Client, Error, SimpleQueryMessage, SimpleQueryRow};

use super::super::uri::Server;
use super::super::uri::postgres::SessionTarget;
use crate::cause::Cause;
use crate::kind::Kind;

/// The version that CircleCI's documentation names, as `server_version_num` counts; the first digits of its releases.
const DOCUMENTED: i64 = 90_500;

/// The extensions that the app uses, by database.
const EXTENSIONS: [(&str, &[&str]); 2] = [("circle", &["pgcrypto", "uuid-ossp"]), ("vms", &["uuid-ossp"])];

/// Everything in one round trip, supported by 9.1 and later. The app creates its tables unqualified, so they go into
/// the first schema of the search path that the user may use. At most five tables with missing privileges are listed.
const QUESTION: &str = "\
SELECT pg_catalog.current_setting('server_version'), pg_catalog.current_setting('server_version_num'), \
pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only'), \
pg_catalog.current_schema(), pg_catalog.current_setting('search_path'), \
pg_catalog.has_schema_privilege(pg_catalog.current_schema()::pg_catalog.text, 'CREATE'), \
(SELECT pg_catalog.string_agg(name, ', ') FROM \
 (SELECT (n.nspname::pg_catalog.text OPERATOR(pg_catalog.||) '.') OPERATOR(pg_catalog.||) c.relname::pg_catalog.text \
  AS name FROM pg_catalog.pg_class c \
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
  WHERE n.nspname OPERATOR(pg_catalog.=) ANY (pg_catalog.current_schemas(false)) \
  AND n.nspname OPERATOR(pg_catalog.<>) ALL ('{pg_catalog,information_schema}'::pg_catalog.name[]) \
  AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p}'::pg_catalog.\"char\"[]) \
  AND NOT (pg_catalog.has_table_privilege(c.oid, 'SELECT') AND pg_catalog.has_table_privilege(c.oid, 'INSERT') \
  AND pg_catalog.has_table_privilege(c.oid, 'UPDATE') AND pg_catalog.has_table_privilege(c.oid, 'DELETE')) \
  ORDER BY 1 LIMIT 5) AS without), \
(SELECT pg_catalog.string_agg(extname::pg_catalog.text, ',') FROM pg_catalog.pg_extension), \
(SELECT pg_catalog.string_agg(n.nspname::pg_catalog.text, ', ') FROM pg_catalog.pg_namespace n \
 WHERE n.nspname OPERATOR(pg_catalog.=) 'public' AND NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE')), \
pg_catalog.current_setting('server_encoding'), \
(SELECT pg_catalog.string_agg(name, ', ') FROM \
 (SELECT (n.nspname::pg_catalog.text OPERATOR(pg_catalog.||) '.') OPERATOR(pg_catalog.||) c.relname::pg_catalog.text \
  AS name FROM pg_catalog.pg_class c \
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
  WHERE n.nspname OPERATOR(pg_catalog.=) ANY (pg_catalog.current_schemas(false)) \
  AND n.nspname OPERATOR(pg_catalog.<>) ALL ('{pg_catalog,information_schema}'::pg_catalog.name[]) \
  AND CASE WHEN c.relkind OPERATOR(pg_catalog.=) 'S'::pg_catalog.\"char\" \
  THEN NOT (pg_catalog.has_sequence_privilege(c.oid, 'USAGE') OR pg_catalog.has_sequence_privilege(c.oid, 'UPDATE')) \
  ELSE false END ORDER BY 1 LIMIT 5) AS unused)";

/// The available extensions, and whether this user may create them; `trusted` exists from 13 on.
const OFFERED: &str = "\
SELECT name, pg_catalog.current_setting('is_superuser'), \
pg_catalog.has_database_privilege(pg_catalog.current_database()::pg_catalog.text, 'CREATE') \
FROM pg_catalog.pg_available_extensions";

/// Where trusted extensions exist.
const TRUSTED: &str = "SELECT name FROM pg_catalog.pg_available_extension_versions WHERE trusted";
const TRUSTED_SINCE: i64 = 130_000;

/// What the server answered.
#[derive(Debug, Default)]
pub(super) struct ServerFacts {
    version: String,
    version_number: i64,
    in_recovery: bool,
    read_only: bool,
    /// The schema in which the app's tables would be created; `None` if no schema of the search path exists.
    schema: Option<String>,
    search_path: String,
    may_create: bool,
    closed_tables: Option<String>,
    /// Sequences whose next value the user may not take, so that it cannot insert rows that are numbered by them.
    closed_sequences: Option<String>,
    encoding: String,
    extensions: Vec<String>,
    /// There is a schema `public`, and the user may not use it.
    public_is_closed: bool,
}

/// Asks.
///
/// # Errors
/// What the server or the connection said.
pub(super) async fn ask(client: &Client) -> Result<ServerFacts, Error> {
    let mut answer = ServerFacts::default();
    for row in rows(client, QUESTION).await? {
        let text = |column: usize| row.try_get(column).ok().flatten();
        answer = ServerFacts {
            version: text(0).unwrap_or("unknown").to_owned(),
            version_number: text(1).and_then(|number| number.parse().ok()).unwrap_or(0),
            in_recovery: text(2) == Some("t"),
            read_only: text(3) == Some("on"),
            schema: text(4).map(str::to_owned),
            search_path: text(5).unwrap_or_default().to_owned(),
            may_create: text(6) == Some("t"),
            closed_tables: text(7).map(str::to_owned),
            extensions: text(8).unwrap_or_default().split(',').map(str::to_owned).collect(),
            public_is_closed: text(9).is_some(),
            encoding: text(10).unwrap_or_default().to_owned(),
            closed_sequences: text(11).map(str::to_owned),
        };
    }
    Ok(answer)
}

async fn rows(client: &Client, question: &str) -> Result<Vec<SimpleQueryRow>, Error> {
    let messages = client.simple_query(question).await?;
    let rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    Ok(rows.collect())
}

/// A warning about each extension that the app needs in this database, that is missing, and that the app could not
/// create itself. Query failures are ignored.
pub(super) async fn extension_advice(client: &Client, answer: &ServerFacts, database: &str) -> Vec<Cause> {
    let missing = answer.missing_extensions(database);
    if missing.is_empty() {
        return Vec::new();
    }
    let Ok(offered) = rows(client, OFFERED).await else { return Vec::new() };
    let trusted = match answer.version_number >= TRUSTED_SINCE {
        true => rows(client, TRUSTED).await.unwrap_or_default(),
        false => Vec::new(),
    };
    let is_in = |rows: &[SimpleQueryRow], name: &str| {
        rows.iter().any(|row| row.try_get(0).ok().flatten() == Some(name))
    };
    let says = |column: usize, word: &str| {
        offered.first().is_some_and(|row| row.try_get(column).ok().flatten() == Some(word))
    };
    let (is_superuser, may_create) = (says(1, "on"), says(2, "t"));
    let advice = missing.into_iter().filter_map(|name| {
        let create = format!("As a superuser, in {database}: CREATE EXTENSION \"{name}\";");
        if !is_in(&offered, name) {
            return Some(Cause::config(
                Kind::PostgresExtensionUnavailable,
                format!("{database} lacks the extension {name}, and it is not available on the server."),
                format!("Install postgresql-contrib on the database server. {create}"),
            ));
        }
        if is_superuser || (may_create && is_in(&trusted, name)) {
            return None;
        }
        Some(Cause::config(
            Kind::PostgresExtensionMissing,
            format!("{database} lacks the extension {name}, and this user is not allowed to create it."),
            create,
        ))
    });
    advice.collect()
}

impl ServerFacts {
    fn missing_extensions(&self, database: &str) -> Vec<&'static str> {
        let needed =
            EXTENSIONS.iter().find(|(name, _)| *name == database).map_or(&[][..], |(_, needed)| needed);
        needed.iter().copied().filter(|name| !self.extensions.iter().any(|one| one == name)).collect()
    }

    /// Whether the user has the privileges that the app needs: to create, read and write its tables.
    pub(super) fn privileges(&self, database: &str, user: &str) -> Result<String, Cause> {
        let grant = |schema: &str| {
            format!(
                "In {database}: GRANT USAGE, CREATE ON SCHEMA {schema} TO {user}; or ALTER DATABASE {database} OWNER TO {user}."
            )
        };
        let Some(schema) = &self.schema else {
            let cause = match self.public_is_closed {
                true => Cause::config(
                    Kind::PostgresNoPrivilege,
                    format!(
                        "{user} has no USAGE privilege on the schema public of {database}, so it can neither find nor create tables."
                    ),
                    grant("public"),
                ),
                false => Cause::config(
                    Kind::PostgresNoSchema,
                    format!(
                        "No schema of the search path exists in {database}, so {user} can neither find nor create tables."
                    ),
                    format!(
                        "In {database}: CREATE SCHEMA public AUTHORIZATION {user}; or correct the role's search_path."
                    ),
                ),
            };
            return Err(cause.with("search_path", &self.search_path));
        };
        let denied = |sentence: String, next_step: String| {
            Cause::config(Kind::PostgresNoPrivilege, sentence, next_step)
        };
        let grant_all = |what: &str| {
            format!(
                "In {database}: GRANT ALL ON ALL {what} IN SCHEMA {schema} TO {user}; or make it their owner."
            )
        };
        if !self.may_create {
            let sentence =
                format!("{user} is not allowed to create tables in the schema {schema} of {database}.");
            return Err(denied(sentence, grant(schema))
                .with("missing", format!("CREATE on schema {schema}"))
                .with("search_path", &self.search_path));
        }
        if let Some(tables) = &self.closed_tables {
            let sentence = format!("{user} is not allowed to read and write all tables of {database}.");
            return Err(denied(sentence, grant_all("TABLES")).with("tables", tables));
        }
        if let Some(sequences) = &self.closed_sequences {
            let sentence = format!(
                "{user} may not use all sequences of {database}, so it cannot insert into their tables."
            );
            return Err(denied(sentence, grant_all("SEQUENCES")).with("sequences", sequences));
        }
        Ok(format!("{database}: {user} can create, read and write tables in {schema}"))
    }

    /// Whether the server accepts writes and matches `target_session_attrs`.
    pub(super) fn role(&self, server: &Server, target: SessionTarget) -> Result<String, Cause> {
        let asks_for_standby =
            matches!(target, SessionTarget::Standby | SessionTarget::ReadOnly | SessionTarget::PreferStandby);
        if self.in_recovery && asks_for_standby {
            return Err(Cause::config(
                Kind::PostgresStandby,
                format!(
                    "{server} is a standby, as target_session_attrs requests, but the app needs to write."
                ),
                "Write target_session_attrs=read-write, or remove it.",
            ));
        }
        if self.in_recovery {
            return Err(Cause::external(
                Kind::PostgresStandby,
                format!("{server} is a standby and does not accept writes."),
                "Point the URI at the primary (RDS: not the reader endpoint), or promote this server.",
            )
            .with("pg_is_in_recovery", "true"));
        }
        if self.read_only && target != SessionTarget::ReadOnly {
            return Err(Cause::external(
                Kind::PostgresReadOnly,
                format!("{server} is a primary, but its sessions are read-only."),
                "Check default_transaction_read_only of the server, the database and the role; RDS sets it when storage is full.",
            )
            .with("transaction_read_only", "on"));
        }
        if matches!(target, SessionTarget::Standby | SessionTarget::ReadOnly) {
            return Err(Cause::config(
                Kind::PostgresTarget,
                format!("{server} is a primary, but target_session_attrs in the URI requests a standby."),
                "Write target_session_attrs=read-write, or remove it.",
            ));
        }
        Ok(format!("primary, PostgreSQL {}; CircleCI documents 9.5", self.version))
    }

    /// A word about a database that cannot store every text.
    pub(super) fn encoding_advice(&self, database: &str) -> Option<Cause> {
        (!self.encoding.is_empty() && self.encoding != "UTF8").then(|| {
            Cause::config(
                Kind::PostgresEncoding,
                format!("{database} stores text as {}, not as UTF8: it rejects or garbles names in other scripts.", self.encoding),
                format!("Create it anew: CREATE DATABASE {database} ENCODING 'UTF8' TEMPLATE template0; and restore its data."),
            )
            .with("server_encoding", &self.encoding)
        })
    }

    /// The warning about a version older than documented for the app.
    pub(super) fn version_advice(&self) -> Option<Cause> {
        (self.version_number > 0 && self.version_number < DOCUMENTED).then(|| {
            Cause::config(
                Kind::PostgresVersion,
                format!(
                    "The server is PostgreSQL {}, older than the 9.5 that CircleCI documents.",
                    self.version
                ),
                "Upgrade PostgreSQL.",
            )
        })
    }
}
