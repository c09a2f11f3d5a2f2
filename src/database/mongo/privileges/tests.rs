use super::*;

const NEEDED: [&str; 6] = ["find", "insert", "update", "remove", "createCollection", "createIndex"];
const READ_WRITE: [&str; 8] = [
    "find",
    "insert",
    "update",
    "remove",
    "createCollection",
    "createIndex",
    "listCollections",
    "listIndexes",
];

fn privilege(resource: Document, actions: &[&str]) -> Value {
    let actions = actions.iter().map(|action| Value::from(*action)).collect();
    Document::new().with("resource", resource).with("actions", Value::Array(actions)).into()
}

fn on(db: &str, collection: &str) -> Document {
    Document::new().with("db", db).with("collection", collection)
}

fn judged(privileges: &[Value], collections: &[&str]) -> Judgement {
    let collections: Vec<String> = collections.iter().map(|name| (*name).to_owned()).collect();
    judge(privileges, "circle_ghe", "circle", &collections)
}

/// The missing privileges.
fn missing(privileges: &[Value], collections: &[&str]) -> String {
    let cause = judged(privileges, collections).outcome.unwrap_err();
    assert_eq!(cause.kind, Kind::MongoNoRole);
    cause.evidence[0].value.clone()
}

#[test]
fn read_write_on_the_database_or_on_any_is_enough() {
    let any = || Document::new().with("anyResource", true);
    for privilege in [
        privilege(on("circle_ghe", ""), &READ_WRITE),
        privilege(on("", ""), &READ_WRITE),
        privilege(any(), &READ_WRITE),
        // `__system`, and what a role with anyAction has.
        privilege(any(), &[ANY]),
        privilege(on("circle_ghe", ""), &[ANY]),
        privilege(on("", ""), &[ANY]),
    ] {
        let judged = judged(std::slice::from_ref(&privilege), &[]);
        judged.outcome.unwrap();
        assert_eq!(judged.warnings, [], "{privilege:?}");
    }
}

#[test]
fn privileges_add_up() {
    let mut privileges: Vec<Value> =
        READ_WRITE[..4].iter().map(|action| privilege(on("circle_ghe", ""), &[*action])).collect();
    privileges.push(privilege(on("", ""), &READ_WRITE[4..]));
    judged(&privileges, &[]).outcome.unwrap();
}

#[test]
fn whoever_may_insert_may_create_collections() {
    let privileges =
        [privilege(on("circle_ghe", ""), &["find", "insert", "update", "remove", "createIndex"])];
    let judged = judged(&privileges, &[]);
    judged.outcome.unwrap();
    assert_eq!(judged.warnings[0].evidence[0].value, "listCollections, listIndexes");
}

#[test]
fn anything_less_names_what_is_missing() {
    let read = [privilege(on("circle_ghe", ""), &["find", "listCollections"])];
    assert_eq!(missing(&read, &[]), "insert, update, remove, createIndex, createCollection");
    for action in ["find", "insert", "update", "remove", "createIndex"] {
        let others: Vec<&str> = NEEDED.into_iter().filter(|one| *one != action).collect();
        assert_eq!(missing(&[privilege(on("circle_ghe", ""), &others)], &[]), action);
    }
    for elsewhere in [on("other", ""), Document::new().with("cluster", true)] {
        assert!(missing(&[privilege(elsewhere, &NEEDED)], &[]).starts_with("find, insert"));
    }
    assert!(missing(&[], &[]).starts_with("find, insert"));
}

#[test]
fn single_collections_are_enough_when_they_are_all_that_exist() {
    let both = [
        privilege(on("circle_ghe", "builds"), &NEEDED),
        privilege(on("circle_ghe", "users"), &NEEDED),
        privilege(on("circle_ghe", "system.js"), &["find"]),
    ];
    for existing in [&[][..], &["builds"], &["builds", "users"]] {
        let judged = judged(&both, existing);
        assert!(judged.outcome.unwrap().contains("builds, users"));
        assert_eq!(judged.warnings[0].kind, Kind::MongoNarrowRole);
    }
    assert_eq!(
        missing(&both, &["builds", "projects"]),
        "find on projects, insert on projects, update on projects, remove on projects, createIndex on projects"
    );
}

#[test]
fn servers_that_tell_roles_alone_are_believed() {
    let role = |role: &str, db: &str| Value::from(Document::new().with("role", role).with("db", db));
    for good in [
        role("readWrite", "circle_ghe"),
        role("readWriteAnyDatabase", "admin"),
        role("root", "admin"),
        role("of_our_own", "circle_ghe"),
    ] {
        judge_roles(&[good], "circle_ghe", "circle").unwrap();
    }
    for bad in [
        vec![],
        vec![role("dbAdmin", "circle_ghe")],
        vec![role("read", "circle_ghe")],
        vec![role("readWrite", "other")],
    ] {
        judge_roles(&bad, "circle_ghe", "circle").unwrap_err();
    }
}
