//! The rung database: the user's privileges, queried from the server and never tested by writing.

use super::super::uri::MongoUri;
use super::bson::{Document, Value};
use super::errors;
use super::hello::Member;
use crate::cause::Cause;
use crate::kind::Kind;

/// The actions that the app needs on each of its collections.
const ON_COLLECTIONS: [&str; 5] = ["find", "insert", "update", "remove", "createIndex"];

/// The action that it needs on the database: creating collections. MongoDB also allows this with insert.
const CREATE: [&str; 2] = ["createCollection", "insert"];

/// Other actions of readWrite, which tools and some drivers use.
const EXPECTED: [&str; 2] = ["listCollections", "listIndexes"];

/// The action that stands for every other.
const ANY: &str = "anyAction";

/// The built-in roles that allow reading and writing a database, for servers that list roles but no privileges.
const SUFFICIENT_ROLES: [&str; 6] =
    ["readWrite", "dbOwner", "readWriteAnyDatabase", "root", "restore", "__system"];

/// The built-in roles that are not enough.
const OTHER_ROLES: [&str; 12] = [
    "read",
    "readAnyDatabase",
    "dbAdmin",
    "dbAdminAnyDatabase",
    "userAdmin",
    "userAdminAnyDatabase",
    "clusterAdmin",
    "clusterManager",
    "clusterMonitor",
    "hostManager",
    "backup",
    "enableSharding",
];

/// The most names of collections that a sentence lists.
const MOST_NAMES: usize = 5;

/// What the user may do in one database.
#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) outcome: Result<String, Cause>,
    pub(super) warnings: Vec<Cause>,
}

impl From<Result<String, Cause>> for Judgement {
    fn from(outcome: Result<String, Cause>) -> Self {
        Judgement { outcome, warnings: Vec::new() }
    }
}

/// Whether the user may read and write each database.
pub(super) async fn ask(uri: &MongoUri, databases: &[Option<String>], member: &mut Member) -> Vec<Judgement> {
    let Some(credentials) = &uri.credentials else {
        return databases
            .iter()
            .map(|_| Ok("open to everybody: the server requires no login".to_owned()).into())
            .collect();
    };
    let question = Document::new().with("connectionStatus", 1).with("showPrivileges", true);
    let reply = match member.wire.command("admin", question).await {
        Ok(reply) => reply,
        Err(failure) => {
            let cause = errors::of(&member.server, &failure);
            return databases.iter().map(|_| Err(cause.clone()).into()).collect();
        }
    };
    let user = credentials.user.as_deref().unwrap_or("the certificate's subject");
    let known = reply.document("authInfo").cloned().unwrap_or_default();
    let mut judgements = Vec::new();
    for database in databases {
        judgements.push(match database {
            None => Ok("the URI names no database".to_owned()).into(),
            Some(database) if known.get("authenticatedUserPrivileges").is_none() => {
                judge_roles(known.items("authenticatedUserRoles"), database, user).into()
            }
            Some(database) => {
                let privileges = known.items("authenticatedUserPrivileges");
                let collections = match needs_collections(privileges, database) {
                    true => collections(member, database).await,
                    false => Vec::new(),
                };
                judge(privileges, database, user, &collections)
            }
        });
    }
    judgements
}

/// The scope of a privilege with respect to a database.
#[derive(Debug, PartialEq, Eq)]
enum Scope<'a> {
    /// Every ordinary collection of the database.
    Database,
    Collection(&'a str),
    Elsewhere,
}

fn scope<'a>(privilege: &'a Document, database: &str) -> Scope<'a> {
    let Some(resource) = privilege.document("resource") else { return Scope::Elsewhere };
    if resource.is("anyResource") {
        return Scope::Database;
    }
    match (resource.text("db"), resource.text("collection")) {
        (Some(db), Some(collection)) if db.is_empty() || db == database => match collection {
            "" => Scope::Database,
            name => Scope::Collection(name),
        },
        _ => Scope::Elsewhere,
    }
}

fn allows(privilege: &Document, action: &str) -> bool {
    privilege.items("actions").iter().filter_map(Value::as_text).any(|one| one == action || one == ANY)
}

/// Whether one privilege at least covers an action on all of the database, or on one collection.
fn granted(privileges: &[Value], database: &str, collection: Option<&str>, action: &str) -> bool {
    privileges.iter().filter_map(Value::as_document).any(|privilege| {
        let covers = match scope(privilege, database) {
            Scope::Database => true,
            Scope::Collection(name) => collection == Some(name),
            Scope::Elsewhere => false,
        };
        covers && allows(privilege, action)
    })
}

/// The collections with their own privileges.
fn named<'a>(privileges: &'a [Value], database: &str) -> Vec<&'a str> {
    let mut names: Vec<&str> = privileges
        .iter()
        .filter_map(Value::as_document)
        .filter_map(|privilege| match scope(privilege, database) {
            Scope::Collection(name) if !name.starts_with("system.") => Some(name),
            _ => None,
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn missing_everywhere(privileges: &[Value], database: &str) -> Vec<&'static str> {
    ON_COLLECTIONS.into_iter().filter(|action| !granted(privileges, database, None, action)).collect()
}

/// Whether the existing collections matter: some actions are granted on individual ones only.
fn needs_collections(privileges: &[Value], database: &str) -> bool {
    !missing_everywhere(privileges, database).is_empty() && !named(privileges, database).is_empty()
}

/// The names of the database's collections that are visible to the user.
async fn collections(member: &mut Member, database: &str) -> Vec<String> {
    let question = Document::new().with("listCollections", 1).with("nameOnly", true);
    let reply = match member.wire.command(database, question.clone()).await {
        // From 4.0 on, a user sees the collections with privileges, but not the others.
        Err(_) => member.wire.command(database, question.with("authorizedCollections", true)).await,
        reply => reply,
    };
    let Ok(reply) = reply else { return Vec::new() };
    let batch =
        reply.document("cursor").map(|cursor| cursor.items("firstBatch").to_vec()).unwrap_or_default();
    batch
        .iter()
        .filter_map(Value::as_document)
        .filter_map(|collection| collection.text("name"))
        .filter(|name| !name.starts_with("system."))
        .map(str::to_owned)
        .collect()
}

/// The verdict from privileges; `collections` are those that exist, where that matters.
fn judge(privileges: &[Value], database: &str, user: &str, collections: &[String]) -> Judgement {
    let lacks_everywhere = missing_everywhere(privileges, database);
    let may_create = CREATE.iter().any(|action| granted(privileges, database, None, action));
    if lacks_everywhere.is_empty() && may_create {
        let unseen: Vec<&str> =
            EXPECTED.into_iter().filter(|action| !granted(privileges, database, None, action)).collect();
        let warning = (!unseen.is_empty()).then(|| {
            Cause::config(
                Kind::MongoNarrowRole,
                format!("{user} can read and write {database}, but lacks actions that readWrite includes."),
                grant(user, database),
            )
            .with("missing", unseen.join(", "))
        });
        return Judgement {
            outcome: Ok(format!("{user} can read and write {database}")),
            warnings: warning.into_iter().collect(),
        };
    }
    // The app's collections are the existing ones; before its first run, those with privileges.
    let named = named(privileges, database);
    let of_app: Vec<&str> = match collections {
        [] => named.clone(),
        collections => collections.iter().map(String::as_str).collect(),
    };
    let mut missing: Vec<String> = Vec::new();
    for action in ON_COLLECTIONS {
        if granted(privileges, database, None, action) {
            continue;
        }
        let uncovered: Vec<&str> = of_app
            .iter()
            .copied()
            .filter(|collection| !granted(privileges, database, Some(collection), action))
            .collect();
        match uncovered.as_slice() {
            [] if !of_app.is_empty() => {}
            uncovered if uncovered.len() == of_app.len() => missing.push(action.to_owned()),
            uncovered => missing.push(format!("{action} on {}", shortened(uncovered))),
        }
    }
    if missing.is_empty() {
        let on = shortened(&named);
        let warning = Cause::config(
            Kind::MongoNarrowRole,
            format!(
                "{user} has access to individual collections of {database} only: the app cannot use new ones."
            ),
            grant(user, database),
        )
        .with("collections", &on);
        return Judgement {
            outcome: Ok(format!("{user} can read and write the collections {on} of {database}")),
            warnings: vec![warning],
        };
    }
    if !may_create && lacks_everywhere.contains(&"insert") && named.is_empty() {
        missing.push("createCollection".to_owned());
    }
    let lacks = |action: &str| missing.iter().any(|one| one == action);
    let what = if lacks("find") {
        "read and write"
    } else if ["insert", "update", "remove"].into_iter().any(lacks) {
        "write"
    } else {
        "fully use"
    };
    let mut cause = no_role(user, what, database).with("missing", missing.join(", "));
    let others = writable(privileges, database);
    if !others.is_empty() {
        cause = cause.with("may write", others.join(", "));
        if let Some(meant) = others.iter().find(|other| other.eq_ignore_ascii_case(database)) {
            cause.next_step = format!("Write {meant} in the URI: names of databases are case-sensitive.");
        }
    }
    Err(cause).into()
}

/// The other databases that the user may write to.
fn writable<'a>(privileges: &'a [Value], database: &str) -> Vec<&'a str> {
    let of = privileges.iter().filter_map(Value::as_document).filter(|one| allows(one, "insert"));
    let names = of.filter_map(|one| one.document("resource")?.text("db"));
    let mut names: Vec<&str> = names.filter(|name| !name.is_empty() && *name != database).collect();
    names.sort_unstable();
    names.dedup();
    names.truncate(MOST_NAMES);
    names
}

fn shortened(names: &[&str]) -> String {
    match names.len().checked_sub(MOST_NAMES) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..MOST_NAMES].join(", ")),
    }
}

/// The verdict from roles alone, of servers that do not tell privileges.
fn judge_roles(roles: &[Value], database: &str, user: &str) -> Result<String, Cause> {
    let held: Vec<(&str, &str)> = roles
        .iter()
        .filter_map(Value::as_document)
        .map(|role| (role.text("role").unwrap_or_default(), role.text("db").unwrap_or_default()))
        .collect();
    let is_enough = held.iter().any(|(role, db)| {
        let on_this = *db == database || (*db == "admin" && !["readWrite", "dbOwner"].contains(role));
        SUFFICIENT_ROLES.contains(role) && on_this
    });
    // A custom role may allow it too.
    let is_custom =
        held.iter().any(|(role, _)| !OTHER_ROLES.contains(role) && !SUFFICIENT_ROLES.contains(role));
    if is_enough || is_custom {
        return Ok(format!("{user} can read and write {database}, through its roles"));
    }
    let held: Vec<String> = held.into_iter().map(|(role, db)| format!("{role} on {db}")).collect();
    Err(no_role(user, "read and write", database)
        .with("roles", if held.is_empty() { "none".to_owned() } else { held.join(", ") }))
}

fn no_role(user: &str, what: &str, database: &str) -> Cause {
    Cause::config(
        Kind::MongoNoRole,
        format!("{user} is not allowed to {what} {database}."),
        grant(user, database),
    )
}

fn grant(user: &str, database: &str) -> String {
    format!(
        "In the database where the user was created: db.grantRolesToUser(\"{user}\", [{{role: \"readWrite\", db: \"{database}\"}}])."
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
