//! Faults of databases during a boot: each is named at the first attempt, the boot waits, and it goes on to CONTINUE by
//! itself when the fault is cured.

use jiff::Timestamp;
use nix::sys::signal::Signal;

use super::aftermath::waits;
use super::harness::dns;
use super::harness::mongo::{Mongo, Options, Version};
use super::harness::postgres::Postgres;
use super::scene::{self, SOON, Scene};

/// What may pass from the start of the databases stage to the cause, in seconds: one attempt at every database, which has
/// ten, on a machine that is busy with other tests.
const TO_THE_CAUSE: f64 = 40.0;

/// Boots a blank box whose database is broken, and cures it once the boot has named the fault.
#[track_caller]
fn boots_through(scene: &Scene, kind: &str, cure: impl FnOnce()) {
    let mut boot = scene.boot().spawn();
    let line = boot.wait_for_line(kind, SOON);
    assert!(line.contains(" databases  waiting"), "{line}");
    assert!(scene.completions().is_empty(), "nothing is decided while it waits");
    cure();
    boot.finish(SOON).assert_code(0);
    assert_eq!(scene.completions(), ["CONTINUE"]);
    assert_eq!(waits(scene, "databases").first().map(String::as_str), Some(kind));
    let record = scene.record();
    let stage =
        record["stages"].as_array().unwrap().iter().find(|stage| stage["name"] == "databases").unwrap();
    let at = |moment: &serde_json::Value| moment.as_str().unwrap().parse::<Timestamp>().unwrap();
    let took = at(&stage["waits"][0]["since"]).duration_since(at(&stage["started_at"])).as_secs_f64();
    assert!(took <= TO_THE_CAUSE, "{kind} was named after {took} s");
}

/// A blank box with the databases at these addresses. A test has one at a time: each holds an engine, of which there are
/// few, and other tests wait for several.
fn scene_with(mongo: &Mongo, postgres: &str) -> Scene {
    let scene = Scene::new();
    let addresses = scene::customizations(|name| mongo.uri(name), postgres);
    scene.put("circle-installation-customizations", addresses);
    scene
}

#[test]
#[ignore = "slow: 90 s"]
fn faults_of_postgresql_are_named_and_waited_for() {
    let mongo = &scene::databases().0;
    let postgres = Postgres::start();
    let password = "select rolpassword from pg_authid where rolname = 'circle'";
    let right = postgres.sql("postgres", password);
    let rows: [(&str, &str, &str, String); 5] = [
        (
            "postgres.password_rejected",
            "postgres",
            "alter role circle password 'another'",
            format!("alter role circle password '{right}'"),
        ),
        (
            "postgres.no_database",
            "postgres",
            "alter database circle rename to gone",
            "alter database gone rename to circle".into(),
        ),
        (
            "postgres.too_many_connections",
            "postgres",
            "alter role circle connection limit 0",
            "alter role circle connection limit -1".into(),
        ),
        (
            "postgres.read_only",
            "postgres",
            "alter role circle set default_transaction_read_only = on",
            "alter role circle reset default_transaction_read_only".into(),
        ),
        ("postgres.no_role", "postgres", "alter role circle nologin", "alter role circle login".into()),
    ];
    for (kind, database, fault, cure) in rows {
        let scene = scene_with(mongo, &postgres.uri());
        postgres.sql(database, fault);
        boots_through(&scene, kind, || {
            postgres.sql(database, &cure);
        });
    }
}

#[test]
#[ignore = "slow: 60 s"]
fn faults_of_mongodb_are_named_and_waited_for() {
    let (mut mongo, postgres) = (Options::new(Version::V6_0).start(), scene::databases().1.uri());

    let login = mongo.uri("circle_ghe");
    let password = login.split("circle:").nth(1).unwrap().split('@').next().unwrap().to_owned();
    mongo.command("admin", &[r#"{"updateUser": "circle", "pwd": "another"}"#]);
    boots_through(&scene_with(&mongo, &postgres), "mongo.login_rejected", || {
        mongo.command("admin", &[&format!(r#"{{"updateUser": "circle", "pwd": "{password}"}}"#)]);
    });

    let one_role = r#"{"updateUser": "circle", "roles": [{"role": "readWrite", "db": "circle_ghe"}]}"#;
    mongo.command("admin", &[one_role]);
    boots_through(&scene_with(&mongo, &postgres), "mongo.no_role", || {
        mongo.command("admin", &[&format!(r#"{{"updateUser": "circle", "roles": {}}}"#, Mongo::roles())]);
    });

    mongo.signal(Signal::SIGSTOP);
    boots_through(&scene_with(&mongo, &postgres), "mongo.silent", || mongo.signal(Signal::SIGCONT));

    mongo.stop();
    boots_through(&scene_with(&mongo, &postgres), "tcp.refused", || mongo.resume());
}

#[test]
fn dead_dns_server_is_named_and_waited_for() {
    let (mongo, postgres) = scene::databases();
    let by_name = |uri: String| uri.replace("127.0.0.1", "db.internal");
    let scene = Scene::new();
    let addresses = scene::customizations(|name| by_name(mongo.uri(name)), &by_name(postgres.uri()));
    scene.put("circle-installation-customizations", addresses);
    scene.world.write("/etc/resolv.conf", format!("nameserver {}\n", dns::nobody()));
    boots_through(&scene, "dns.timeout", || scene.world.write("/etc/hosts", "127.0.0.1 db.internal\n"));
}
