//! The layout of 2.x: `circleconfig/` and `circleci-encryption-keys/` are part of a bundle without being configured, and
//! PostgreSQL may be addressed there.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::check::{CUS, Draft, findings};
use super::harness::agent::{Agent, CommandContext, Finished};
use super::harness::postgres::Postgres;
use super::probe_checks::{check, report};
use super::scene::{SOON, Scene, customizations, databases};

const SHARED: &str = "circleconfig/shared/postgresql";
const SERVICE_DATABASES: [&str; 7] = [
    "conductor_production",
    "contexts_service_production",
    "cron_service_production",
    "domain",
    "federations",
    "permissions",
    "vms",
];

fn shared(port: u16, password: &str) -> String {
    format!(
        "# made by the test\nexport POSTGRES_HOST=127.0.0.1\nexport POSTGRES_PORT={port}\n\
         export POSTGRES_USER=circle\nexport POSTGRES_PASSWORD='{password}'\n"
    )
}

/// `agent check` of the good bundle without PostgreSQL's address, and with these files.
fn checked(files: &[(&str, &str)]) -> (Vec<String>, Finished) {
    let mut draft = Draft::good();
    let text = String::from_utf8(draft.files[CUS].clone()).unwrap();
    let without = text.lines().filter(|line| !line.contains("POSTGRES")).collect::<Vec<_>>().join("\n");
    draft.files.insert(CUS, format!("{without}\n").into_bytes());
    let directory = draft.directory();
    for (name, content) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let run = Agent::new(&CommandContext::new())
        .args(["--output", "json", "check"])
        .arg(directory.path().display())
        .run(SOON);
    (findings(&run), run)
}

#[test]
fn an_address_in_either_place_is_enough_and_in_neither_is_an_error_that_names_both() {
    let (found, _) = checked(&[(SHARED, &shared(5432, "pw-of-the-test"))]);
    assert_eq!(found, [""; 0]);
    // A template that nobody has filled in addresses nothing.
    for files in [&[][..], &[(SHARED, "#export POSTGRES_HOST=\n#export POSTGRES_USER=\n")]] {
        let (found, run) = checked(files);
        assert_eq!(found.len(), 1, "{run}");
        assert!(found[0].starts_with("error customizations.missing_database"), "{run}");
        for place in ["CIRCLE_SECRETS_POSTGRES_MAIN_URI", "POSTGRES_HOST", "circleconfig/shared/postgresql"] {
            assert!(run.stdout.contains(place), "{place}: {run}");
        }
    }
}

#[test]
fn each_mistake_in_the_shared_address_is_one_finding_at_its_place() {
    let good = shared(5432, "pw");
    let rows: [(&str, &str, &[&str]); 9] = [
        (
            "export POSTGRES_HOST=127.0.0.1\n",
            "",
            &["error circleconfig.missing circleconfig/shared/postgresql"],
        ),
        ("HOST=127.0.0.1", "HOST=", &["error circleconfig.missing circleconfig/shared/postgresql:2:8"]),
        (
            "HOST=127.0.0.1",
            "HOST=db.example.com:5432",
            &["error circleconfig.value circleconfig/shared/postgresql:2:8"],
        ),
        ("PORT=5432", "PORT=none", &["error circleconfig.value circleconfig/shared/postgresql:3:8"]),
        ("export POSTGRES_PASSWORD='pw'\n", "", &["warning circleconfig.no_password"]),
        ("export POSTGRES_USER=circle\n", "", &["error circleconfig.missing"]),
        ("export POSTGRES_USER", "POSTGRES_USER", &["warning customizations.not_exported"]),
        ("HOST=127.0.0.1", "HOST=$(hostname)", &["warning customizations.unknown_value"]),
        ("'pw'", "'pw", &["error customizations.syntax circleconfig/shared/postgresql:5:"]),
    ];
    for (from, to, expected) in rows {
        assert!(good.contains(from), "{from}");
        let (found, run) = checked(&[(SHARED, &good.replace(from, to))]);
        let of_file: Vec<&String> = found
            .iter()
            .filter(|it| !it.contains("unknown_value") || expected[0].contains("unknown_value"))
            .collect();
        assert_eq!(of_file.len(), expected.len(), "{to:?}: {run}");
        for (found, expected) in of_file.iter().zip(expected) {
            assert!(found.starts_with(expected), "{to:?}: {run}");
        }
    }
}

#[test]
fn the_overrides_of_a_service_are_read_as_shell() {
    let postgres = shared(5432, "pw");
    let (found, run) = checked(&[
        (SHARED, postgres.as_str()),
        ("circleconfig/domain/customizations", "export JVM_OPTS = '-Xmx1g'\n"),
        ("circleconfig/domain/notes.txt", "this is 'no shell\n"),
    ]);
    assert!(found[0].contains(" circleconfig/domain/customizations:1:"), "{run}");
    assert!(found.iter().all(|finding| finding.contains("circleconfig/domain/customizations")), "{run}");
}

/// Servers of every service database; the role may use them.
fn with_services() -> Postgres {
    let postgres = Postgres::start();
    for database in SERVICE_DATABASES {
        postgres.sql("postgres", &format!("create database {database} owner circle"));
    }
    postgres
}

#[test]
fn each_service_database_is_asked_for_and_so_is_every_other_address() {
    let postgres = with_services();
    postgres.sql("postgres", "drop database vms");
    let world = CommandContext::new();
    let (mongo, own) = databases();
    let mut text = customizations(|database| mongo.uri(database), &own.uri());
    let build_queue = own.uri().replace("circle-password", "wrong-build-queue");
    text.push_str(&format!("export CIRCLE_SECRETS_POSTGRES_BUILD_QUEUE_URI='{build_queue}'\n"));
    let further = mongo.uri("further_ghe");
    text.push_str(&format!("export CIRCLE_SECRETS_MONGODB_FURTHER_URI='{further}'\n"));
    world.write("/etc/circle-installation-customizations", text);
    world.write("/etc/circleconfig/shared/postgresql", shared(postgres.port(), Postgres::PASSWORD));
    let asking = |words: &[&str]| {
        Agent::new(&world).args(["probe", "--output", "json"]).args(words.iter().copied()).run(SOON)
    };
    let finished = asking(&["--only", "postgres", "--only", "mongodb.further"]);
    let all = report(&finished);
    let outcome = |id: &str| check(&all, id)["outcome"].as_str().unwrap().to_owned();
    for database in SERVICE_DATABASES {
        let expected = if database == "vms" { "failed" } else { "good" };
        assert_eq!(outcome(&format!("postgres.{database}.database")), expected, "{database}: {finished}");
    }
    assert_eq!(check(&all, "postgres.vms.database")["cause"]["kind"], "postgres.no_database", "{finished}");
    assert_eq!(outcome("postgres.main.role"), "good", "{finished}");
    assert_eq!(outcome("postgres.build_queue.auth"), "failed", "{finished}");
    assert_ne!(outcome("mongodb.further.dns"), "skipped", "{finished}");
    for secret in ["wrong-build-queue", Postgres::PASSWORD] {
        assert!(!format!("{finished}").contains(secret), "{secret} in {finished}");
    }
    let absent = asking(&["--only", "mongodb.absent"]);
    absent.assert_code(0);
    assert_eq!(check(&report(&absent), "mongodb.absent.uri")["outcome"], "skipped", "{absent}");
    asking(&["--only", "postgres.vmss"]).assert_code(2);
}

#[test]
fn the_directories_are_placed_unasked_and_keys_in_place_are_never_replaced() {
    const KEY: &str = "/data/circle/circleci-encryption-keys/encryption.key";
    let postgres = with_services();
    let scene = Scene::new();
    scene.put(SHARED, shared(postgres.port(), Postgres::PASSWORD));
    scene.put("circleconfig/domain/customizations", "export JVM_OPTS='-Xmx1g'\n");
    scene.put("circleci-encryption-keys/encryption.key", "key-at-the-source\n");
    // Begins like them, and is none of them.
    scene.put("circlecopy/old", "old\n");
    let booted = scene.boots();
    booted.assert_code(0);
    for (path, content) in [
        (KEY, "key-at-the-source\n".to_owned()),
        ("/etc/circleconfig/shared/postgresql", shared(postgres.port(), Postgres::PASSWORD)),
        ("/etc/circleconfig/domain/customizations", "export JVM_OPTS='-Xmx1g'\n".to_owned()),
    ] {
        assert_eq!(scene.world.read(path), content, "{path}");
        let mode = fs::metadata(scene.world.path(path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o640, "{path}");
    }
    assert!(!scene.world.exists("/etc/circlecopy"));
    let stages = scene.record()["stages"].to_string();
    for database in SERVICE_DATABASES {
        assert!(stages.contains(&format!("postgres.{database}")), "{database}: {booted}");
    }
    assert!(!format!("{booted}").contains(Postgres::PASSWORD), "{booted}");

    scene.put("circleci-encryption-keys/encryption.key", "another-key\n");
    scene.put("license.rli", "another licence\n");
    let refused = scene.boot().arg("--force").run(SOON);
    refused.assert_code(1);
    assert_eq!(scene.record()["cause"]["kind"], "bundle.other_keys", "{refused}");
    assert_eq!(scene.world.read(KEY), "key-at-the-source\n");
    assert_ne!(scene.world.read("/etc/license.rli"), "another licence\n");
    for secret in ["another-key", "key-at-the-source"] {
        assert!(!format!("{refused}").contains(secret), "{refused}");
    }
}
