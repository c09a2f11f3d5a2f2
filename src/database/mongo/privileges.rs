//! The rung database: what the user may do, asked of the server and never found out by writing.

use super::super::uri::MongoUri;
use super::bson::{Document, Value};
use super::greeting::Member;
use super::refusal;
use crate::cause::Cause;

/// What of `readWrite` the app cannot do without.
const NEEDED: [&str; 6] = ["find", "insert", "update", "remove", "createCollection", "createIndex"];

/// Whether the user may read and write each database.
pub(super) async fn ask(
    uri: &MongoUri,
    databases: &[Option<String>],
    member: &mut Member,
) -> Vec<Result<String, Cause>> {
    let Some(credentials) = &uri.credentials else {
        return databases
            .iter()
            .map(|_| Ok("open to everybody: the server asks for no login".to_owned()))
            .collect();
    };
    let question = Document::new().with("connectionStatus", 1).with("showPrivileges", true);
    let reply = match member.wire.command("admin", question).await {
        Ok(reply) => reply,
        Err(failure) => {
            let cause = refusal::of(&member.server, &failure);
            return databases.iter().map(|_| Err(cause.clone())).collect();
        }
    };
    let user = credentials.user.as_deref().unwrap_or("the certificate's subject");
    let privileges = reply
        .document("authInfo")
        .map(|information| information.items("authenticatedUserPrivileges"))
        .unwrap_or_default();
    databases.iter().map(|database| judge(privileges, database.as_deref(), user)).collect()
}

fn judge(privileges: &[Value], database: Option<&str>, user: &str) -> Result<String, Cause> {
    let Some(database) = database else {
        return Ok("the URI names no database".to_owned());
    };
    let missing: Vec<&str> = NEEDED
        .into_iter()
        .filter(|action| !privileges.iter().any(|one| grants(one, database, action)))
        .collect();
    if missing.is_empty() {
        return Ok(format!("{user} may read and write {database}"));
    }
    let what = if missing.contains(&"find") { "read and write" } else { "write" };
    Err(Cause::config(
        "mongo.no_role",
        format!("{user} may not {what} {database}."),
        format!(
            "In the database that has the user: db.grantRolesToUser(\"{user}\", [{{role: \"readWrite\", db: \"{database}\"}}])."
        ),
    )
    .with("missing", missing.join(", ")))
}

/// Whether one privilege covers an action on every ordinary collection of a database.
fn grants(privilege: &Value, database: &str, action: &str) -> bool {
    let Value::Document(privilege) = privilege else { return false };
    let Some(resource) = privilege.document("resource") else { return false };
    let covers = resource.is("anyResource")
        || (resource.text("collection") == Some("")
            && resource.text("db").is_some_and(|db| db.is_empty() || db == database));
    covers && privilege.items("actions").iter().any(|one| one.as_text() == Some(action))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn privilege(resource: Document, actions: &[&str]) -> Value {
        let actions = actions.iter().map(|action| Value::from(*action)).collect();
        Document::new().with("resource", resource).with("actions", Value::Array(actions)).into()
    }

    fn on(db: &str, collection: &str) -> Document {
        Document::new().with("db", db).with("collection", collection)
    }

    #[test]
    fn read_write_on_the_database_or_on_any_is_enough() {
        for resource in [on("circle_ghe", ""), on("", ""), Document::new().with("anyResource", true)] {
            judge(&[privilege(resource, &NEEDED)], Some("circle_ghe"), "circle").unwrap();
        }
    }

    #[test]
    fn anything_less_names_what_is_missing() {
        let read = privilege(on("circle_ghe", ""), &["find", "listCollections"]);
        let cause = judge(std::slice::from_ref(&read), Some("circle_ghe"), "circle").unwrap_err();
        assert_eq!(cause.evidence[0].value, "insert, update, remove, createCollection, createIndex");
        for resource in [on("other", ""), on("circle_ghe", "one_collection")] {
            let cause = judge(&[privilege(resource, &NEEDED)], Some("circle_ghe"), "circle").unwrap_err();
            assert_eq!(cause.kind, "mongo.no_role");
        }
    }
}
