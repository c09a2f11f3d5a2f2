//! Replica sets of MongoDB, one thing broken at a time, and the cause that `agent probe --uri` gives.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use boot_agent::cause::Class::{Config, External};
use boot_agent::database::ladder::Rung;

use super::diagnosis::{BlackHole, Diagnosis, Node, PASSWORD, WRONG, shows};
use super::diagnosis_mongo::{misquoting, server, users};
use super::diagnosis_mongo_tls::{WITHOUT_ECDHE, with_tls};
use super::harness::certificates::Authority;
use super::harness::mongo::{Mongo, Options, Version};
use super::harness::parts;

pub(crate) fn until(what: &str, within: u64, mut good: impl FnMut() -> bool) {
    let started = Instant::now();
    while !good() {
        assert!(started.elapsed() < Duration::from_secs(within), "{what} takes too long");
        thread::sleep(Duration::from_millis(200));
    }
}

pub(crate) fn says_of_itself(member: &Mongo, words: &str) -> bool {
    let said = Mongo::try_command(&member.nobody_uri(), "admin", &[r#"{"isMaster": 1}"#]);
    String::from_utf8_lossy(&said.stdout).contains(words)
}

/// The key by which members of a set know each other.
pub(crate) fn key_file(directory: &Path) -> PathBuf {
    let key = directory.join("key");
    fs::write(&key, "c2VjcmV0IG9mIHRoZSBzZXQ=").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    key
}

/// A replica set `rs0` whose first member is primary, with the users of the table.
pub(crate) struct Set {
    pub(crate) members: Vec<Mongo>,
    directory: tempfile::TempDir,
}

impl Set {
    /// Three members; `last` is what the configuration says of the third.
    pub(crate) fn start(options: impl Fn() -> Options, last: &str) -> Self {
        let directory = parts::directory("set");
        let key = key_file(directory.path());
        let arguments = ["--replSet", "rs0", "--keyFile", key.to_str().unwrap()];
        let members: Vec<Mongo> = thread::scope(|scope| {
            let started: Vec<_> = (0..3)
                .map(|_| {
                    let options = options().args(&arguments);
                    scope.spawn(move || options.start_without_users())
                })
                .collect();
            started.into_iter().map(|member| member.join().unwrap()).collect()
        });
        let roles = [r#""priority": 2"#, r#""priority": 1"#, last];
        let entries = members.iter().zip(roles).enumerate().map(|(index, (member, role))| {
            format!(r#"{{"_id": {index}, "host": "127.0.0.1:{}", {role}}}"#, member.port())
        });
        let entries = entries.collect::<Vec<_>>().join(", ");
        let initiate = format!(
            r#"{{"replSetInitiate": {{"_id": "rs0", "members": [{entries}], "settings": {{"electionTimeoutMillis": 2000}}}}}}"#
        );
        let said = Mongo::try_command(&members[0].nobody_uri(), "admin", &[&initiate]);
        assert!(said.status.success(), "{said:?}");
        let set = Self { members, directory };
        set.settles();
        set.members[0].create_users();
        users(&set.members[0]);
        set
    }

    /// Waits until the first member is primary and the second has caught up.
    fn settles(&self) {
        until("the election", 60, || says_of_itself(&self.members[0], r#""ismaster": true"#));
        until("the second member", 60, || says_of_itself(&self.members[1], r#""secondary": true"#));
    }

    /// A mongod of the same key and name that is no member yet.
    pub(crate) fn newcomer(&self, arguments: &[&str]) -> Mongo {
        let key = self.directory.path().join("key");
        let own = ["--replSet", "rs0", "--keyFile", key.to_str().unwrap()];
        Options::new(Version::V4_4).args(&own).args(arguments).start_without_users()
    }

    /// Leaves so many of the members, and adds one.
    pub(crate) fn reconfigure(&self, left: usize, entry: &str) {
        let said = self.members[0].command("admin", &[r#"{"replSetGetConfig": 1}"#]);
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        let mut configuration = said["config"].clone();
        let version = configuration["version"].as_u64().unwrap();
        configuration["version"] = (version + 1).into();
        let members = configuration["members"].as_array_mut().unwrap();
        members.truncate(left);
        if !entry.is_empty() {
            members.push(serde_json::from_str(entry).unwrap());
        }
        self.members[0].command("admin", &[&format!(r#"{{"replSetReconfig": {configuration}}}"#)]);
    }

    fn uri(&self, seeds: &[usize], options: &str) -> String {
        let seeds: Vec<String> =
            seeds.iter().map(|index| format!("127.0.0.1:{}", self.members[*index].port())).collect();
        let more = match self.members[0].client_options() {
            "" => String::new(),
            more => format!("&{more}"),
        };
        format!("mongodb://circle:{PASSWORD}@{}/circle_ghe?authSource=admin{more}{options}", seeds.join(","))
    }

    fn whole(&self) -> String {
        self.uri(&[0, 1, 2], "&replicaSet=rs0")
    }

    /// The rows that hold for every set whose third member has data.
    fn is_healthy(&self, node: &Node) {
        until("the third member", 60, || says_of_itself(&self.members[2], r#""secondary": true"#));
        let found = node.holds(&self.whole());
        let role = found.detail(Rung::Role);
        assert!(role.contains("primary of rs0") && role.matches("secondary").count() == 2, "{role}");
        // One seed is enough, since the others are advertised.
        node.holds(&self.uri(&[1], "&replicaSet=rs0"));
        let mistyped = self.whole().replace(PASSWORD, WRONG);
        node.breaks(&mistyped, Rung::Auth, "mongo.login_rejected", Config, "Correct user");
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        self.members.iter_mut().for_each(Mongo::kill);
    }
}

/// A third member like the second.
pub(crate) const DATA: &str = r#""priority": 1"#;

#[test]
fn members_and_their_names() {
    let mut set = Set::start(|| Options::new(Version::V6_0), DATA);
    let node = Node::new("");
    set.is_healthy(&node);
    let mismatch = set.uri(&[0], "&replicaSet=other");
    node.breaks(&mismatch, Rung::Role, "mongo.set_name_mismatch", Config, "replicaSet=rs0");
    node.holds(&set.uri(&[0], "")).warns("mongo.single_seed");
    let found = node.diagnose(&set.uri(&[1], ""));
    let cause = found.breaks(Rung::Role, "mongo.not_primary", Config, "replicaSet=rs0");
    shows(&cause, "primary", &set.members[0].port().to_string());
    found.warns("mongo.single_seed");

    // The name by which the set knows its primary counts, not the one in the URI.
    let port = set.members[0].port();
    let misnamed = misquoting(port, format!("127.0.0.1:{port}").into(), format!("mongo.lan:{port}").into());
    let uri = set.uri(&[0], "&replicaSet=rs0").replace(&format!(":{port}/"), &format!(":{misnamed}/"));
    let unresolvable = "mongo.member_unresolvable";
    let cause = node.breaks(&uri, Rung::Role, unresolvable, External, "rs.reconfig()");
    assert!(cause.sentence.contains(&format!("mongo.lan:{port}")), "{cause:?}");
    let elsewhere = Node::new("127.0.0.2 mongo.lan\n");
    elsewhere.breaks(&uri, Rung::Role, "mongo.member_unreachable", External, "its port reachable");
    Node::new("127.0.0.1 mongo.lan\n").holds(&uri);

    set.members[2].kill();
    node.holds(&set.uri(&[0, 1], "&replicaSet=rs0")).warns("mongo.member_unreachable");
    set.members[0].kill();
    until("the last member's giving up the old primary", 60, || {
        let failure = node.once(&set.whole()).failure();
        failure.is_some_and(|(_, cause)| cause.kind.as_str() == "mongo.no_primary")
    });
    let found = node.diagnose(&set.whole());
    let cause = found.breaks(Rung::Role, "mongo.no_primary", External, "election");
    shows(&cause, "member", "secondary");
    // A wrong password is said first: nobody waits for an election to hear of it.
    let mistyped = set.whole().replace(PASSWORD, WRONG);
    node.breaks(&mistyped, Rung::Auth, "mongo.login_rejected", Config, "Correct user");

    set.members[0].resume();
    set.members[2].resume();
    until("the set's recovery", 60, || node.once(&set.whole()).is_good());
}

/// A member whose packets are dropped is not waited for, and is tried once.
#[test]
fn black_holed_members() {
    let set = Set::start(|| Options::new(Version::V4_4), DATA);
    let node = Node::new("");
    set.is_healthy(&node);
    let open = BlackHole::open();
    let hole = open.address();
    let port = |index: usize| set.members[index].port();
    // Secondaries that say of a member of theirs that it is where nobody answers.
    let misplaced = |of: usize, seed: usize| {
        let real = format!("127.0.0.1:{}", port(of));
        let liar = misquoting(port(seed), real.into(), hole.clone().into());
        format!("mongodb://circle:{PASSWORD}@127.0.0.1:{liar}/circle_ghe?authSource=admin&replicaSet=rs0")
    };
    let seed = set.whole().replace(&format!("127.0.0.1:{}/", port(2)), &format!("{hole}/"));
    let quick = |uri: &str| {
        let found: Vec<Diagnosis> = (0..5).map(|_| node.diagnose(uri)).collect();
        let fastest = found.iter().map(Diagnosis::took).min().unwrap();
        // Each address alone was given two seconds, and the seed and the member of one address one after the other.
        assert!(fastest < Duration::from_millis(1500), "{fastest:?} {found:?}");
        found.into_iter().next().unwrap()
    };
    let found = quick(&seed);
    assert!(found.is_good(), "{found:?}");
    found.warns("tcp.timeout");
    let secondary = quick(&misplaced(1, 0));
    assert!(secondary.is_good(), "{secondary:?}");
    secondary.warns("mongo.member_unreachable");
    let cause = quick(&misplaced(0, 1)).breaks(
        Rung::Role,
        "mongo.member_unreachable",
        External,
        "its port reachable",
    );
    shows(&cause, "role", "primary");
    // The seed and the member of that name are one, so it is said once.
    let both = misplaced(0, 1).replace("@127", &format!("@{hole},127"));
    let found = quick(&both);
    found.breaks(Rung::Role, "mongo.member_unreachable", External, "its port reachable");
    assert_eq!(found.warned_of(), ["tcp.timeout", "mongo.version"]);
}

#[test]
fn a_primary_that_steps_down() {
    let set = Set::start(|| Options::new(Version::V4_4), DATA);
    let node = Node::new("");
    set.is_healthy(&node);
    // Nobody may stand for election meanwhile.
    for member in &set.members[1..] {
        member.command("admin", &[r#"{"replSetFreeze": 60}"#]);
    }
    let step_down = r#"{"replSetStepDown": 60, "secondaryCatchUpPeriodSecs": 0, "force": true}"#;
    let _ = Mongo::try_command(&set.members[0].root_uri(), "admin", &[step_down]);
    node.breaks(&set.whole(), Rung::Role, "mongo.no_primary", External, "Wait for the election");
    for member in &set.members[1..] {
        member.command("admin", &[r#"{"replSetFreeze": 0}"#]);
    }
    until("the next election", 60, || node.once(&set.whole()).is_good());
}

#[test]
fn arbiters_and_sets_that_are_none() {
    let set = Set::start(|| Options::new(Version::V4_4), r#""arbiterOnly": true"#);
    let node = Node::new("");
    let found = node.holds(&set.whole());
    assert!(found.detail(Rung::Role).contains("arbiter"), "{found:?}");
    let arbiter = set.uri(&[2], "");
    node.breaks(&arbiter, Rung::Role, "mongo.arbiter_only", Config, "data-bearing members");
    let direct = format!("{arbiter}&directConnection=true");
    node.breaks(&direct, Rung::Auth, "mongo.arbiter_only", Config, "data-bearing members");
    // With the set's name the arbiter is as good a seed as any.
    node.holds(&set.uri(&[2], "&replicaSet=rs0"));

    let alone = server(Options::new(Version::V6_0));
    let uri = format!(
        "mongodb://circle:{PASSWORD}@127.0.0.1:{}/circle_ghe?authSource=admin&replicaSet=rs0",
        alone.port()
    );
    node.breaks(&uri, Rung::Role, "mongo.not_a_replica_set", Config, "Remove replicaSet");
    let arguments = ["--replSet", "rs0"];
    let fresh = Options::new(Version::V6_0).without_login().args(&arguments).start_without_users();
    let uri = format!("mongodb://127.0.0.1:{}/circle_ghe?replicaSet=rs0", fresh.port());
    let (_, cause) = node.diagnose(&uri).failure().unwrap();
    assert_eq!(cause.kind.as_str(), "mongo.not_initiated");
}

#[test]
fn over_tls() {
    let authority = Authority::new();
    let certificate = authority.issue("mongo", &["IP:127.0.0.1"], 10);
    let node = Node::new("");
    let set = Set::start(|| with_tls(Version::V6_0, &authority, &certificate), DATA);
    set.is_healthy(&node);
    let bare = set.whole().replace("&tls=true", "");
    node.breaks(&bare, Rung::Tls, "mongo.tls_required", Config, "ssl=true");
}

#[test]
fn over_tls_with_the_ciphers_of_old() {
    let authority = Authority::new();
    let certificate = authority.issue("mongo", &["IP:127.0.0.1"], 10);
    let node = Node::new("");
    let set = Set::start(|| with_tls(Version::V4_4, &authority, &certificate).args(&WITHOUT_ECDHE), DATA);
    set.is_healthy(&node);
    let found = node.holds(&set.whole());
    assert!(found.detail(Rung::Tls).starts_with("TLSv1.2, AES256-GCM-SHA384"), "{found:?}");
}

#[test]
#[ignore = "slow: 90 s"]
fn a_member_that_is_far_behind() {
    let options = || Options::new(Version::V6_0).args(&["--setParameter", "enableTestCommands=1"]);
    let set = Set::start(options, DATA);
    let node = Node::new("");
    set.is_healthy(&node);
    // MongoDB's own way to test such a member; one that is delayed on purpose is not advertised at all.
    let stop = r#"{"configureFailPoint": "rsSyncApplyStop", "mode": "alwaysOn"}"#;
    set.members[2].command("admin", &[stop]);
    // An idle set writes something every ten seconds, of which this member sees nothing any more.
    until("the lag", 120, || node.once(&set.whole()).warned_of().iter().any(|kind| kind == "mongo.lag"));
    let found = node.holds(&set.whole());
    let cause = found.warns("mongo.lag");
    assert!(cause.next_step.contains("rs.print"), "{cause:?}");
    let role = found.detail(Rung::Role);
    assert!(role.matches("secondary").count() == 2, "{role}");
    set.members[2].command("admin", &[&stop.replace("alwaysOn", "off")]);
    until("the member's catching up", 60, || node.once(&set.whole()).warned_of() == ["mongo.version"]);
}
