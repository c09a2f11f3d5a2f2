//! Each check of the probe that is not a database's: good on a good node, and broken once in each way that it knows.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use serde_json::Value;
use stand_ins::s3_faults::{self, Config, Fault, Rule};
use stand_ins::{autoscaling, imds};

use super::harness::agent::{Agent, Finished};
use super::harness::dns;
use super::scene::{INSTANCE, SETTINGS, SOON, Scene};

pub(crate) const LOCK: &str = "/etc/boot-agent/images.lock";
const RECORD: &str = "/var/lib/boot-agent/boot.json";
const ENOUGH_MEMORY: &str = "MemTotal: 32000000 kB\nMemFree: 100 kB\nMemAvailable: 16000000 kB\n";
const DAEMON: &str = "quay.io/replicated/replicated:stable-2.38.6";

/// A node that has booted well, with everything that a probe looks at.
pub(crate) fn booted() -> Scene {
    let scene = Scene::new();
    scene.boots().assert_code(0);
    scene.world.write("/proc/meminfo", ENOUGH_MEMORY);
    scene.world.write("/proc/vmstat", "nr_free_pages 100\noom_kill 0\n");
    scene
}

fn id_of(scene: &Scene, image: &str) -> String {
    scene.engine.docker(&["image", "inspect", "--format={{.Id}}", image])
}

/// An image lock of name, id and alias each.
fn lock(images: &[(&str, &str, &str)]) -> String {
    let image = |(name, id, alias): &(&str, &str, &str)| {
        format!("[[image]]\nreference = \"{name}\"\nid = \"{id}\"\nalias = \"{alias}\"\n")
    };
    format!("version = 1\n{}", images.iter().map(image).collect::<String>())
}

pub(crate) fn asking(scene: &Scene, words: &[&str]) -> Agent {
    Agent::new(&scene.world).args(["probe", "--output", "json"]).args(words.iter().copied())
}

pub(crate) fn report(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}\n{finished}"))
}

pub(crate) fn check<'r>(report: &'r Value, id: &str) -> &'r Value {
    let mut checks = report["checks"].as_array().unwrap().iter();
    checks.find(|check| check["id"] == id).unwrap_or_else(|| panic!("no {id} in {report:#}"))
}

/// The outcome, and the kind and class where there is a cause.
fn told(check: &Value) -> (&str, &str, &str) {
    let of = |name: &str| check["cause"][name].as_str().unwrap_or_default();
    (check["outcome"].as_str().unwrap(), of("kind"), of("class"))
}

/// What one fault must be told as: by which check, how, and why.
type Told = (&'static str, &'static str, &'static str, &'static str);

#[track_caller]
fn assert_told(agent: Agent, what: &str, (id, outcome, kind, class): Told) -> Value {
    let finished = agent.args(["--only", id]).run(SOON);
    let report = report(&finished);
    let check = check(&report, id);
    assert_eq!(told(check), (outcome, kind, class), "{what}: {check:#}");
    finished.assert_code(i32::from(outcome == "failed"));
    if outcome != "skipped" && outcome != "good" {
        let cause = &check["cause"];
        assert!(
            !cause["next_step"].as_str().unwrap().is_empty()
                && cause["sentence"].as_str().unwrap().ends_with('.')
        );
    }
    check.clone()
}

#[test]
fn a_good_node_is_good_and_is_left_as_it_was() {
    let scene = booted();
    let containers = ["ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.Image}} {{.State}}"];
    let images = ["image", "ls", "--all", "--no-trunc", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}"];
    // The engine lists the names of one image in any order.
    let sorted = |listed: String| listed.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let engine = |words: &[&str]| sorted(scene.engine.docker(words));
    let seen = || (engine(&containers), engine(&images), scene.state());
    let before = (scene.world.files(), seen());
    scene.auto_scaling.forget_calls();
    let finished = asking(&scene, &[]).run(SOON);
    let report = report(finished.assert_code(0));
    assert_eq!(seen(), before.1);
    let files = scene.world.files();
    let differs = |path: &&std::path::PathBuf| files.get(*path) != before.0.get(*path);
    let changed: Vec<_> = files.keys().chain(before.0.keys()).filter(differs).collect();
    assert!(changed.is_empty(), "changed: {changed:?}");
    let called: Vec<String> =
        scene.auto_scaling.calls().iter().map(|call| call.call.action.clone()).collect();
    assert!(called.iter().all(|action| action.starts_with("Describe")), "{called:?}");

    for check in report["checks"].as_array().unwrap() {
        let id = check["id"].as_str().unwrap();
        let expected = match id {
            "source.extra" | "replicated.units" => "skipped",
            _ => "good",
        };
        // The database is newer than the app's range; how this machine stores is its own affair.
        let is_local = ["docker.storage", "docker.disk", "docker.inodes"].contains(&id);
        let may_warn = id.ends_with(".advice") || is_local;
        let outcome = check["outcome"].as_str().unwrap();
        assert!(outcome == expected || (may_warn && outcome == "warning"), "{check:#}");
    }
}

#[test]
fn each_object_of_the_source_has_its_own_cause() {
    let scene = booted();
    let proxy = s3_faults::start(Config::before(&scene.s3.url())).unwrap();
    let asking = || asking(&scene, &[]).env("AWS_ENDPOINT_URL_S3", proxy.url());
    let denied = || Fault::AccessDenied(None);
    let rows: Vec<(Rule, Told)> = vec![
        (
            Rule::key("license.rli", Fault::NoSuchKey),
            ("source.license", "failed", "s3.no_such_key", "config"),
        ),
        (Rule::key("settings.conf", denied()), ("source.settings", "failed", "s3.access_denied", "config")),
        (
            Rule::key("customizations", Fault::KmsDenied),
            ("source.customizations", "failed", "s3.kms_denied", "config"),
        ),
        (
            Rule::key("replicated.conf", Fault::SlowDown),
            ("source.replicated", "failed", "s3.slow_down", "external"),
        ),
        (
            Rule::key("replicated.conf", Fault::Corrupted),
            ("source.replicated", "failed", "s3.checksum", "external"),
        ),
        (
            Rule::all(Fault::PermanentRedirect("eu-west-1".into())),
            ("source.region", "warning", "s3.wrong_region", "config"),
        ),
        (Rule::all(Fault::ClockSkew(3600)), ("host.clock", "failed", "host.clock_skew", "host")),
        (Rule::all(Fault::ClockSkew(-120)), ("host.clock", "warning", "host.clock_skew", "host")),
        (Rule::all(Fault::ClockSkew(3600)), ("source.settings", "failed", "s3.clock_skew", "host")),
    ];
    for (rule, told) in rows {
        let what = format!("{rule:?}");
        proxy.rule(rule);
        assert_told(asking(), &what, told);
        proxy.cure();
    }
    // Only the one that is not there fails, and what needs them all names it.
    proxy.rule(Rule::key("license.rli", Fault::NoSuchKey));
    let report = report(&asking().args(["--only", "source,bundle.drift"]).run(SOON));
    assert_eq!(check(&report, "source.settings")["outcome"], "good");
    for waiting in ["source.valid", "bundle.drift"] {
        assert_eq!(check(&report, waiting)["waits_for"], "source.license", "{waiting}");
    }
    proxy.cure();
    // One policy denies all of them: that is one thing to mend.
    proxy.rule(Rule::all(denied()));
    let report = self::report(&asking().args(["--only", "source"]).run(SOON));
    let roots = report["root_causes"].as_array().unwrap();
    assert_eq!(roots.len(), 1, "{roots:#?}");
    assert_eq!(roots[0]["seen_by"].as_array().unwrap().len(), 4);
}

#[test]
fn what_is_in_place_is_judged_by_its_access_its_content_and_the_source() {
    let scene = booted();
    let path = |path: &str| scene.world.path(path);
    let mode = |name: &str, mode: u32| {
        fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    let ask = |what: &str, told: Told| assert_told(asking(&scene, &[]), what, told);
    let (license, customizations) = ("/etc/license.rli", "/etc/circle-installation-customizations");

    mode(license, 0o644);
    ask("open to the world", ("bundle.files", "warning", "bundle.access", "host"));
    mode(license, 0o600);
    let check = ask("closed to the group", ("bundle.files", "failed", "bundle.unreadable", "host"));
    assert_eq!(check["cause"]["next_step"], "chown 0:997 /etc/license.rli && chmod 0640 /etc/license.rli");
    mode(license, 0o640);
    chown(path(license), Some(0), Some(0)).unwrap();
    ask("of another group", ("bundle.files", "failed", "bundle.unreadable", "host"));
    chown(path(license), Some(0), Some(997)).unwrap();
    ask("cured", ("bundle.files", "good", "", ""));

    let good = scene.world.read(customizations);
    scene.world.write(customizations, good.replace("postgres://", "postgres:/"));
    ask("malformed", ("bundle.valid", "failed", "bundle.invalid", "config"));
    ask("changed here", ("bundle.drift", "warning", "bundle.drift", "config"));
    scene.world.write(customizations, &good);

    scene.put("settings.conf", SETTINGS.replace("license_agreement_agree", "no"));
    ask("wrong at the source", ("source.valid", "failed", "bundle.invalid", "config"));
    ask("changed there", ("bundle.drift", "warning", "bundle.drift", "config"));
    ask("and still valid here", ("bundle.valid", "good", "", ""));
    scene.put("settings.conf", SETTINGS);

    let settings = fs::read(path("/etc/settings.conf")).unwrap();
    fs::remove_file(path("/etc/settings.conf")).unwrap();
    ask("gone", ("bundle.files", "failed", "bundle.not_in_place", "host"));
    let replicated = scene.world.read("/etc/replicated.conf");
    let told_to = replicated.replacen('{', "{\n  \"RemoveImportSettingsFrom\": true,", 1);
    scene.world.write("/etc/replicated.conf", &told_to);
    scene.put("replicated.conf", &told_to);
    for id in ["bundle.files", "bundle.valid", "bundle.drift"] {
        ask("gone as Replicated was told to", (id, "good", "", ""));
    }
    fs::write(path("/etc/settings.conf"), settings).unwrap();

    for name in super::scene::PLACED {
        fs::remove_file(path(name)).unwrap();
    }
    ask("nothing in place", ("bundle.files", "failed", "bundle.not_in_place", "host"));
    let report = report(&asking(&scene, &["--only", "bundle,postgres"]).run(SOON));
    assert_eq!(self::check(&report, "bundle.valid")["waits_for"], "bundle.files");
    // The databases are then those of the source.
    assert_eq!(self::check(&report, "postgres.main.role")["outcome"], "good");
}

#[test]
fn the_host_is_judged_by_its_dns_servers_and_its_memory() {
    let scene = booted();
    let ask = |what: &str, told: Told| assert_told(asking(&scene, &[]), what, told);
    let servers = |servers: &[std::net::Ipv4Addr]| {
        let lines: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
        scene.world.write("/etc/resolv.conf", lines);
    };
    ask("one that answers", ("host.dns", "good", "", ""));
    servers(&[dns::nobody(), dns::server()]);
    let check = ask("the first is dead", ("host.dns", "warning", "dns.server_silent", "external"));
    assert!(check["cause"]["sentence"].as_str().unwrap().contains("every query waits"), "{check:#}");
    servers(&[dns::nobody(), dns::nobody()]);
    ask("all are dead", ("host.dns", "failed", "dns.timeout", "external"));
    servers(&[dns::server()]);

    ask("enough memory", ("host.memory", "good", "", ""));
    scene.world.write("/proc/vmstat", "oom_kill 2\n");
    ask("killed", ("host.memory", "warning", "host.oom_kill", "host"));
    scene.world.write("/proc/meminfo", ENOUGH_MEMORY.replace("16000000", "2000000"));
    ask("little memory", ("host.memory", "warning", "host.little_memory", "host"));
    scene.world.write("/proc/meminfo", ENOUGH_MEMORY.replace("16000000", "200000"));
    ask("out of memory", ("host.memory", "failed", "host.no_memory", "host"));
}

#[test]
fn the_engine_is_judged_by_its_answer_its_room_and_its_images() {
    let scene = booted();
    let ask = |what: &str, told: Told| assert_told(asking(&scene, &[]), what, told);
    let gone = asking(&scene, &[]).env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    assert_told(gone, "socket does not exist", ("docker.engine", "failed", "docker.socket_missing", "host"));

    // The agent alone sees another file system in the place of the engine's.
    let place = scene.engine.docker(&["info", "--format={{.DockerRootDir}}"]);
    let with_mount = |options: &str, fill: &str| {
        let script = format!(
            "mount -t tmpfs -o {options} none '{place}' && cd '{place}' && {fill}; cd / && exec \"$0\" \"$@\""
        );
        asking(&scene, &[]).under("unshare", ["--mount", "sh", "-c", &script])
    };
    assert_told(
        with_mount("size=64k", "true"),
        "a disk of 64 KiB",
        ("docker.disk", "failed", "host.disk_full", "host"),
    );
    let fill = "for n in $(seq 395); do : >$n; done";
    assert_told(
        with_mount("size=4g,nr_inodes=400", fill),
        "3 inodes of 400 left",
        ("docker.inodes", "warning", "host.few_inodes", "host"),
    );
    let fill = "for n in $(seq 399); do : >$n; done";
    assert_told(
        with_mount("size=4g,nr_inodes=400", fill),
        "no inodes",
        ("docker.inodes", "failed", "host.no_inodes", "host"),
    );

    let nowhere = format!("sha256:{}", "0".repeat(64));
    let rows = [
        (lock(&[("library/none:1", &nowhere, "none:1")]), "failed", "images.missing"),
        (lock(&[(DAEMON, &nowhere, "none:1")]), "failed", "images.wrong_id"),
        (lock(&[(DAEMON, &id_of(&scene, DAEMON), "new:1")]), "failed", "images.untagged"),
    ];
    for (lock, outcome, kind) in rows {
        scene.world.write(LOCK, lock);
        ask(kind, ("images.lock", outcome, kind, "host"));
    }
    scene.world.write(LOCK, lock(&[("busybox", &id_of(&scene, "busybox"), "b:1")]));
    ask("another daemon", ("replicated.images", "failed", "replicated.not_locked", "host"));
    fs::remove_file(scene.world.path(LOCK)).unwrap();
    ask("no lock", ("images.lock", "skipped", "", ""));
    ask("no lock", ("replicated.images", "skipped", "", ""));
}

#[test]
fn replicated_and_the_app_are_judged_by_their_containers_their_word_and_their_log() {
    let scene = booted();
    let ask = |what: &str, told: Told| assert_told(asking(&scene, &[]), what, told);
    ask("ready", ("app.log", "good", "", ""));
    scene.stand_in("system-status", "{\"Replicated\": \"ready\", \"Retraced\": \"initializing\"}");
    ask("flapping", ("replicated.system", "warning", "replicated.not_ready", "host"));
    fs::remove_file(scene.world.path(&format!("{}/system-status", super::scene::STAND_IN))).unwrap();

    scene.stand_in("timeline", "0 starting started false 503\n");
    ask("starting", ("app.status", "failed", "app.starting", "host"));
    ask("starting without a known cause", ("app.log", "warning", "app.log", "host"));
    let log = |line: &str| {
        scene.engine.docker(&["rm", "--force", "frontend"]);
        let say = format!("echo INFO starting; echo '{line}'; sleep 600");
        let image = ["circleci/frontend:2.18.3", "sh", "-c", &say];
        let run = ["run", "--detach", "--network=none", "--name=frontend"];
        scene.engine.docker(&[&run[..], &image[..]].concat());
    };
    for (line, kind, class) in [
        (
            "com.mongodb.MongoSecurityException: Exception authenticating MongoCredential{userName=circle}",
            "app.mongodb_login",
            "external",
        ),
        (
            "org.postgresql.util.PSQLException: FATAL: password authentication failed for user circle",
            "app.postgres_login",
            "external",
        ),
        ("ERROR license has expired", "app.license", "config"),
        ("java.lang.OutOfMemoryError: Java heap space", "app.out_of_memory", "host"),
    ] {
        log(line);
        let check = ask(line, ("app.log", "failed", kind, class));
        assert!(check["cause"]["evidence"].to_string().contains(line), "{check:#}");
    }
    log("decrypting with passphrase-of-the-test");
    let finished = asking(&scene, &["--only", "app.log"]).run(SOON);
    finished.assert_silent_about("passphrase-of-the-test").assert_says("decrypting with [redacted]");
    log(
        "connecting to mongodb://circle:circle-password@10.0.0.1/x; postgres://someone:unheard-of@10.0.0.2/y",
    );
    let finished = asking(&scene, &["--only", "app.log"]).run(SOON);
    finished.assert_silent_about("circle-password").assert_silent_about("unheard-of").assert_says("10.0.0.2");

    scene.engine.docker(&["kill", "replicated-ui"]);
    let down = ("replicated.containers", "failed", "replicated.container_down", "host");
    let check = ask("one is down", down);
    assert!(check["cause"]["evidence"].to_string().contains("Exited (137)"), "{check:#}");
    scene.engine.docker(&["rm", "replicated-ui"]);
    let missing = ("replicated.containers", "failed", "replicated.container_missing", "host");
    ask("one is missing", missing);
    scene.engine.docker(&["kill", "replicated"]);
    let report = report(&asking(&scene, &["--only", "replicated,app"]).run(SOON));
    let failures = report["root_causes"].as_array().unwrap().iter().filter(|root| root["is_failure"] == true);
    let failures: Vec<&Value> = failures.collect();
    assert_eq!(failures.len(), 1, "{failures:#?}");
    assert_eq!(failures[0]["seen_by"][0], "replicated.containers");
}

#[test]
fn the_instance_its_group_and_its_last_boot_are_told_as_they_are() {
    let scene = booted();
    let ask = |what: &str, told: Told| assert_told(asking(&scene, &[]), what, told);
    scene.imds.inject(imds::Fault::TokenRefused);
    ask("IMDSv2 is not available", ("instance.identity", "failed", "imds.token_refused", "config"));
    scene.imds.cure();

    use autoscaling::Fault::Deny;
    scene.auto_scaling.inject(Deny("DescribeAutoScalingInstances".to_owned()));
    let denied = ("lifecycle.hook", "warning", "autoscaling.access_denied", "config");
    let check = ask("may not describe", denied);
    let next_step = check["cause"]["next_step"].as_str().unwrap();
    assert!(next_step.contains("\"Action\":\"autoscaling:DescribeAutoScalingInstances\""), "{next_step}");
    scene.write_settings("lifecycle = { group = \"services-box\", hook = \"services-box-launch\" }");
    ask("may not and need not", ("lifecycle.hook", "good", "", ""));
    scene.auto_scaling.cure();
    scene.write_settings("");
    scene.auto_scaling.place(INSTANCE, autoscaling::Stage::PendingWait, false);
    ask("waits", ("lifecycle.hook", "warning", "lifecycle.pending", "host"));
    assert!(scene.auto_scaling.calls_of("CompleteLifecycleAction").len() == 1, "only the boot's own");

    let good = scene.world.read(RECORD);
    scene.world.write(RECORD, good.replace(INSTANCE, "i-00000000000000000"));
    ask("baked from another box", ("boot.outcome", "skipped", "", ""));
    scene.world.write(RECORD, good.replace("\"outcome\": \"in_service\"", "\"outcome\": \"abandoned\""));
    ask("abandoned", ("boot.outcome", "failed", "boot.not_in_service", "host"));
    scene.world.write(RECORD, "{");
    ask("torn", ("boot.outcome", "failed", "record.unreadable", "host"));
}

#[test]
fn a_boot_that_runs_is_no_failure_and_one_that_was_killed_is() {
    let scene = Scene::new();
    scene.stand_in("timeline", "0 starting started false 503\n");
    let mut boot = scene.boot().spawn();
    boot.wait_for_line("install    done", SOON);
    scene.wait_for_stage("ready", "running", SOON);
    let ask = |what: &str, told: Told| assert_told(asking(&scene, &[]), what, told);
    let check = ask("running", ("boot.outcome", "good", "", ""));
    assert!(check["detail"].as_str().unwrap().starts_with("running in stage ready"), "{check:#}");
    let check = ask("waits for the boot", ("lifecycle.hook", "good", "", ""));
    assert!(check["detail"].as_str().unwrap().ends_with("a boot is running"), "{check:#}");
    boot.kill();
    let check = ask("killed", ("boot.outcome", "failed", "boot.killed", "host"));
    assert!(check["cause"]["sentence"].as_str().unwrap().contains("in stage ready"), "{check:#}");
    ask("nobody completes it", ("lifecycle.hook", "warning", "lifecycle.pending", "host"));
}
