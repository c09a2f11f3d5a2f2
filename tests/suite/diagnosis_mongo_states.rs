//! MongoDB servers that serve nobody, or not the app: what a member is comes before whom it lets in.

use boot_agent::cause::Class::{Config, External};
use boot_agent::database::rung::Rung;

use super::diagnosis::{Node, PASSWORD, WRONG, shows};
use super::diagnosis_mongo::server;
use super::diagnosis_mongo_set::{DATA, Set, says_of_itself, until};
use super::harness::mongo::{Mongo, Options, Version};
use super::harness::parts;

/// A mongod of `rs0` with authorization that nobody initiated.
fn fresh(version: Version) -> (Mongo, tempfile::TempDir) {
    let directory = parts::directory("fresh");
    let key = super::diagnosis_mongo_set::key_file(directory.path());
    let arguments = ["--replSet", "rs0", "--keyFile", key.to_str().unwrap()];
    (Options::new(version).args(&arguments).start_without_users(), directory)
}

fn at(login: &str, ports: &[u16], options: &str) -> String {
    let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    format!("mongodb://{login}{}/circle_ghe?authSource=admin{options}", hosts.join(","))
}

#[test]
fn a_set_that_was_never_initiated() {
    let node = Node::new("");
    for version in [Version::V6_0, Version::V4_4] {
        let (mongo, _key) = fresh(version);
        for login in [format!("circle:{PASSWORD}@"), format!("circle:{WRONG}@"), String::new()] {
            for options in ["", "&replicaSet=rs0", "&replicaSet=other", "&directConnection=true"] {
                let uri = at(&login, &[mongo.port()], options);
                let cause = node.breaks(&uri, Rung::Auth, "mongo.not_initiated", External, "rs.initiate()");
                assert!(cause.sentence.contains(&mongo.port().to_string()), "{cause:?}");
            }
        }
    }
}

#[test]
fn seeds_that_belong_elsewhere() {
    let node = Node::new("");
    let set = Set::start(|| Options::new(Version::V4_4), DATA);
    let (stranger, _key) = fresh(Version::V6_0);
    let alone = server(Options::new(Version::V6_0));
    let login = format!("circle:{PASSWORD}@");
    let primary = set.members[0].port();
    // The set serves, whatever stands beside it.
    let found = node.holds(&at(&login, &[stranger.port(), primary], "&replicaSet=rs0"));
    found.warns("mongo.not_initiated");
    let found = node.holds(&at(&login, &[alone.port(), primary], "&replicaSet=rs0"));
    found.warns("mongo.set_name_mismatch");
    let found = node.holds(&at(&login, &[alone.port(), primary], ""));
    found.warns("mongo.not_a_replica_set");
    // A wrong set is wrong whatever it says of the password.
    for password in [PASSWORD, WRONG] {
        let found = node.diagnose(&at(&format!("circle:{password}@"), &[primary], "&replicaSet=other"));
        let (_, cause) = found.failure().unwrap();
        assert_eq!(cause.kind.as_str(), "mongo.set_name_mismatch", "{found:?}");
    }
    let only_standalone = at(&login, &[alone.port(), alone.port()], "");
    node.breaks(&only_standalone, Rung::Role, "mongo.not_a_replica_set", Config, "only this server");
}

/// The states that a member goes through or is put into, of a set that works otherwise.
#[test]
fn members_that_serve_nobody() {
    let node = Node::new("");
    let hold = [
        "--setParameter",
        "enableTestCommands=1",
        "--setParameter",
        r#"failpoint.initialSyncHangBeforeCopyingDatabases={"mode":"alwaysOn"}"#,
    ];
    let set = Set::start(|| Options::new(Version::V4_4), DATA);
    let login = format!("circle:{PASSWORD}@");
    let mistyped = format!("circle:{WRONG}@");
    let port = |set: &Set, index: usize| set.members[index].port();

    // RECOVERING, by maintenance mode.
    set.members[1].command("admin", &[r#"{"replSetMaintenance": 1}"#]);
    until("maintenance", 60, || !says_of_itself(&set.members[1], r#""secondary": true"#));
    for login in [&login, &mistyped] {
        for options in ["&directConnection=true", "&directConnection=true&replicaSet=rs0"] {
            let uri = at(login, &[port(&set, 1)], options);
            let cause = node.breaks(&uri, Rung::Auth, "mongo.recovering", External, "rs.status()");
            shows(&cause, "member", "starting up or recovering");
        }
    }
    // The others can be asked.
    let found = node.holds(&at(&login, &[port(&set, 1)], "&replicaSet=rs0"));
    assert!(found.detail(Rung::Role).contains("recovering"), "{found:?}");
    node.breaks(
        &at(&mistyped, &[port(&set, 1)], "&replicaSet=rs0"),
        Rung::Auth,
        "mongo.login_rejected",
        Config,
        "",
    );
    set.members[1].command("admin", &[r#"{"replSetMaintenance": 0}"#]);

    // STARTUP2: a member that copies the data has no users yet.
    let mut newcomer = set.newcomer(&hold);
    let entry =
        format!(r#"{{"_id": 3, "host": "127.0.0.1:{}", "priority": 0, "votes": 0}}"#, newcomer.port());
    set.reconfigure(3, &entry);
    until("the first sync", 60, || says_of_itself(&newcomer, r#""setName": "rs0""#));
    for login in [&login, &mistyped] {
        let uri = at(login, &[newcomer.port()], "&directConnection=true");
        node.breaks(&uri, Rung::Auth, "mongo.recovering", External, "rs.status()");
    }
    let uri = at(&mistyped, &[newcomer.port()], "&replicaSet=rs0");
    node.breaks(&uri, Rung::Auth, "mongo.login_rejected", Config, "Correct user");
    node.holds(&at(&login, &[newcomer.port()], "&replicaSet=rs0"));

    // REMOVED: it has data, and belongs to no set any more. A first sync does not survive that.
    newcomer.kill();
    set.reconfigure(2, "");
    let removed = &set.members[2];
    until("the removal", 60, || says_of_itself(removed, r#""isreplicaset": true"#));
    let uri = at(&login, &[removed.port()], "");
    node.breaks(&uri, Rung::Auth, "mongo.not_initiated", External, "rs.add()");
    let found = node.holds(&at(&login, &[removed.port(), port(&set, 0)], "&replicaSet=rs0"));
    found.warns("mongo.not_initiated");
}

#[test]
fn members_that_are_not_for_the_app() {
    let node = Node::new("");
    // The users were made an hour ago at the earliest, as far as this member knows.
    let delayed = r#""priority": 0, "hidden": true, "slaveDelay": 3600"#;
    let set = Set::start(|| Options::new(Version::V4_4), delayed);
    let port = set.members[2].port();
    until("the delayed member", 60, || says_of_itself(&set.members[2], r#""secondary": true"#));
    let login = format!("circle:{PASSWORD}@");
    for options in ["&directConnection=true", "&directConnection=true&replicaSet=rs0"] {
        let uri = at(&login, &[port], options);
        let cause = node.breaks(&uri, Rung::Auth, "mongo.delayed_member", Config, "replicaSet");
        assert!(cause.sentence.contains("3600 s behind by configuration"), "{cause:?}");
        shows(&cause, "code", "18");
    }
    // It names the set, whose other members can be asked.
    node.holds(&at(&login, &[port], "&replicaSet=rs0"));
    let found = node.diagnose(&at(&login, &[port], ""));
    let cause = found.breaks(Rung::Role, "mongo.not_primary", Config, "replicaSet=rs0");
    assert!(cause.sentence.contains("delayed by 3600 s"), "{cause:?}");
}
