//! The one query of a climb, and what its answer says about privileges and role.

use tokio_postgres::{Client, Error, SimpleQueryMessage};

use super::super::uri::Server;
use super::super::uri::postgres::Target;
use crate::cause::Cause;

/// The version that CircleCI's documentation names, as `server_version_num` counts; the first digits of its releases.
const DOCUMENTED: i64 = 90_500;

/// Everything in one round trip, in words that 9.0 and later know. The names of at most five tables of `public` are
/// listed on which the user lacks what the app does with them.
const QUESTION: &str = "\
SELECT current_setting('server_version'), current_setting('server_version_num'), pg_is_in_recovery(), \
current_setting('transaction_read_only'), \
(SELECT has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE') \
 FROM pg_namespace WHERE nspname = 'public'), \
(SELECT string_agg(relname::text, ', ') FROM (SELECT c.relname FROM pg_class c \
 JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND c.relkind = 'r' \
 AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') \
 AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')) \
 ORDER BY 1 LIMIT 5) AS without)";

/// What the server answered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    version: String,
    version_number: i64,
    in_recovery: bool,
    read_only: bool,
    /// `None` when there is no schema `public`.
    may_create: Option<bool>,
    closed_tables: Option<String>,
}

/// Asks.
///
/// # Errors
/// What the server or the connection said.
pub(super) async fn ask(client: &Client) -> Result<Answer, Error> {
    let mut answer = Answer::default();
    for message in client.simple_query(QUESTION).await? {
        let SimpleQueryMessage::Row(row) = message else { continue };
        let text = |column: usize| row.try_get(column).ok().flatten();
        answer = Answer {
            version: text(0).unwrap_or("unknown").to_owned(),
            version_number: text(1).and_then(|number| number.parse().ok()).unwrap_or(0),
            in_recovery: text(2) == Some("t"),
            read_only: text(3) == Some("on"),
            may_create: text(4).map(|may| may == "t"),
            closed_tables: text(5).map(str::to_owned),
        };
    }
    Ok(answer)
}

impl Answer {
    /// Whether the app may do in this database what it does: create its tables, read and write them.
    pub(super) fn privileges(&self, database: &str, user: &str) -> Result<String, Cause> {
        if self.may_create == Some(false) {
            return Err(Cause::config(
                "postgres.no_privilege",
                format!("{user} may not create tables in {database}."),
                format!("In {database}: GRANT ALL ON SCHEMA public TO {user}; or ALTER DATABASE {database} OWNER TO {user}."),
            )
            .with("schema", "public: USAGE and CREATE are needed"));
        }
        if let Some(tables) = &self.closed_tables {
            return Err(Cause::config(
                "postgres.no_privilege",
                format!("{user} may not read and write all tables of {database}."),
                format!("In {database}: GRANT ALL ON ALL TABLES IN SCHEMA public TO {user}; or make it their owner."),
            )
            .with("tables", tables));
        }
        Ok(format!("{database}: {user} may create, read and write tables"))
    }

    /// Whether the server takes writes, and is what `target_session_attrs` asks for.
    pub(super) fn role(&self, server: &Server, target: Target) -> Result<String, Cause> {
        let asks_for_standby = matches!(target, Target::Standby | Target::ReadOnly | Target::PreferStandby);
        if self.in_recovery && asks_for_standby {
            return Err(Cause::config(
                "postgres.standby",
                format!("{server} is a standby, as target_session_attrs asks for, and the app writes."),
                "Write target_session_attrs=read-write, or remove it.",
            ));
        }
        if self.in_recovery {
            return Err(Cause::external(
                "postgres.standby",
                format!("{server} is a standby: it takes no writes."),
                "Let the URI lead to the primary (for RDS: not the reader endpoint), or promote this server.",
            )
            .with("pg_is_in_recovery", "true"));
        }
        if self.read_only && target != Target::ReadOnly {
            return Err(Cause::external(
                "postgres.read_only",
                format!("{server} is the primary, and its sessions are read-only."),
                "Look at default_transaction_read_only of server, database and role; RDS sets it when storage is full.",
            )
            .with("transaction_read_only", "on"));
        }
        if matches!(target, Target::Standby | Target::ReadOnly) {
            return Err(Cause::config(
                "postgres.target",
                format!("{server} is a primary, and target_session_attrs in the URI asks for another."),
                "Write target_session_attrs=read-write, or remove it.",
            ));
        }
        Ok(format!("primary, PostgreSQL {}; CircleCI documents 9.5", self.version))
    }

    /// A word about a version older than any that the app was made for.
    pub(super) fn version_advice(&self) -> Option<Cause> {
        (self.version_number > 0 && self.version_number < DOCUMENTED).then(|| {
            Cause::config(
                "postgres.version",
                format!(
                    "The server is PostgreSQL {}, older than the 9.5 that CircleCI documents.",
                    self.version
                ),
                "Upgrade PostgreSQL.",
            )
        })
    }
}
