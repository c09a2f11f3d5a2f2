//! Baking: what is asked for comes from a real registry onto a real engine and is locked; what another box left is
//! found; and whatever happens in between, what is on disk is whole.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use serde_json::Value;

use super::harness::agent::{Agent, CommandContext, Finished};
use super::harness::engine::{self, EngineLease};
use super::harness::registry::{PASSWORD, Registry, USER};
use super::harness::vendor::{self, CATCH_ALL, Vendor};
use super::scene::{ADDRESS, INSTALLER, SOON, Scene};
use super::terminal::{on_a_terminal, screen};

const LOCK: &str = "/etc/boot-agent/images.lock";
const OPERATOR: &str = "/usr/local/lib/boot-agent/replicated-operator.sh";
const WANTED: &str = "/etc/boot-agent/images.toml";
const UNIT: &str = "/etc/systemd/system/boot-agent.service";
const ENABLED: &str = "/etc/systemd/system/multi-user.target.wants/boot-agent.service";
/// How long a line may take that is due at once, on a busy machine.
const LINE: Duration = Duration::from_secs(40);

/// A machine that is to become an image.
struct Bakery {
    world: CommandContext,
    engine: EngineLease,
    registry: Registry,
    vendor: Vendor,
}

impl Bakery {
    fn new() -> Self {
        Self::with_registry(Registry::start())
    }

    fn with_registry(registry: Registry) -> Self {
        let engine = engine::lease();
        let world = CommandContext::new().with_docker(engine.docker_host());
        symlink(env!("CARGO_BIN_EXE_agent"), world.path("/usr/local/bin/agent")).unwrap();
        let vendor = Vendor::start();
        vendor.serve(installer(&vendor));
        Self { world, engine, registry, vendor }
    }

    /// Images that lie in the registry alone, one layer each on top of busybox; their references.
    fn pushed(&self, names: &[&str]) -> Vec<String> {
        names.iter().map(|name| push(&self.engine, &self.registry, name)).collect()
    }

    /// Asks for the installer and these images.
    fn wants(&self, references: &[String]) {
        self.world.write(WANTED, wanted(&self.vendor, references));
    }

    fn bakes(&self, arguments: &[&str]) -> Finished {
        self.bake(arguments).run(SOON)
    }

    fn bake(&self, arguments: &[&str]) -> Agent {
        Agent::new(&self.world).arg("bake").args(arguments)
    }

    /// The checks of `bake --verify` that failed, with the kinds of what they found.
    fn verdict(&self) -> (Option<i32>, Vec<(String, Vec<String>)>) {
        let finished = self.bakes(&["--verify", "--output", "json"]);
        let answer: Value = serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{finished}"));
        assert_eq!(answer["fit"], finished.code == Some(0), "{finished}");
        let kinds = |check: &Value| {
            let failures = check["failures"].as_array().cloned().unwrap_or_default();
            failures.iter().map(|cause| cause["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let checks = answer["checks"].as_array().unwrap().iter();
        let failed = checks.filter(|check| check["outcome"] == "failed");
        (
            finished.code,
            failed.map(|check| (check["id"].as_str().unwrap().to_owned(), kinds(check))).collect(),
        )
    }
}

/// The images of Replicated, which every engine of the tests has.
const REPLICATED: [&str; 3] = [
    "quay.io/replicated/replicated:stable-2.38.6",
    "quay.io/replicated/replicated-operator:stable-2.38.6",
    "quay.io/replicated/replicated-ui:stable-2.38.6",
];

/// What an installer says of itself, and nothing that it does.
pub(crate) fn installer(vendor: &Vendor) -> String {
    let arguments = [
        "local-address|local_address",
        "no-docker",
        "no-operator",
        "no-proxy",
        "no-public-address",
        "skip-preflights",
    ];
    let arms: String =
        arguments.iter().map(|argument| format!("        {argument})\n            ;;\n")).collect();
    let pulls: String =
        [REPLICATED[0], REPLICATED[2]].iter().map(|image| format!("docker pull \"{image}\"\n")).collect();
    format!(
        "#!/bin/bash\nREPLICATED_VERSION=\"2.38.6\"\nwhile [ \"$1\" != \"\" ]; do\n    case $1 in\n{arms}        *)\n            \
         echo >&2 \"Error: unknown parameter \\\"$1\\\"\"\n            exit 1\n            ;;\n    esac\n    shift\ndone\n{pulls}\
         curl -sSL \"{}\" >/tmp/operator_install.sh\n",
        vendor.operator_url()
    )
}

/// `images.toml`.
pub(crate) fn wanted(vendor: &Vendor, references: &[String]) -> String {
    let mut text = format!(
        "[replicated]\nurl = \"{}\"\nreplicated_tag = \"2.38.6\"\nreplicated_ui_tag = \"2.38.6\"\n",
        vendor.url()
    );
    for reference in REPLICATED {
        text.push_str(&format!("[[image]]\nreference = \"{reference}\"\npull = false\n"));
    }
    for reference in references {
        text.push_str(&format!("[[image]]\nreference = \"{reference}\"\nalias = true\n"));
    }
    text
}

/// Makes an image with a layer of its own, pushes it, and takes it off the engine again.
pub(crate) fn push(engine: &EngineLease, registry: &Registry, name: &str) -> String {
    let fill = "head -c 3000000 /dev/urandom >/content";
    engine.docker(&["run", "--name=maker", "--network=none", "busybox", "sh", "-c", fill]);
    let id = engine.docker(&["commit", "maker", "thing:made"]);
    engine.docker(&["rm", "maker"]);
    registry.push(engine, "thing:made", name);
    engine.docker(&["rmi", "--force", &id]);
    format!("{}/{name}", registry.address())
}

/// The id that the engine has for a name.
fn id_of(engine: &EngineLease, name: &str) -> Option<String> {
    let asked = engine.try_docker(&["image", "inspect", "--format={{.Id}}", name]);
    asked.status.success().then(|| String::from_utf8_lossy(&asked.stdout).trim().to_owned())
}

#[test]
fn baked_image_boots_with_what_was_locked() {
    let scene = Scene::new();
    let (registry, vendor) = (Registry::start(), Vendor::start());
    let origin = format!("\"{}\"", vendor.origin());
    vendor.serve(scene.world.read(INSTALLER).replace("\"https://get.replicated.com\"", &origin));
    for made_up in [INSTALLER, OPERATOR, LOCK] {
        fs::remove_file(scene.world.path(made_up)).unwrap();
    }
    let reference = push(&scene.engine, &registry, "circleci/frontend:2.19");
    scene.world.write(WANTED, wanted(&vendor, std::slice::from_ref(&reference)));
    let baked = Agent::new(&scene.world).args(["bake"]).run(SOON);
    baked.assert_code(1).assert_says("/var/lib/replicated is in the image");
    assert!(id_of(&scene.engine, &reference).is_some());

    let requests = registry.requests().len();
    scene.boots().assert_code(0);
    assert_eq!(registry.requests().len(), requests, "the boot has all that it needs");
    assert_eq!(
        id_of(&scene.engine, &format!("{ADDRESS}:9874/circleci/frontend:2.19")),
        id_of(&scene.engine, &reference)
    );
    assert_eq!((scene.installer_runs(), scene.completions()), (1, vec!["CONTINUE".to_owned()]));

    // The lock is what a boot goes by.
    scene.engine.docker(&["rmi", "--force", &id_of(&scene.engine, &reference).unwrap()]);
    scene.boots().assert_code(0).assert_says(&format!("pulling {reference}: layers"));
    let said = Agent::new(&scene.world).args(["bake", "--clean"]).run(SOON);
    said.assert_code(1).assert_says("bake.box_in_use");
    assert!(scene.world.exists("/etc/settings.conf"), "a box that serves is left as it is");
}

#[test]
fn lock_is_sorted_complete_and_the_same_again() {
    let bakery = Bakery::new();
    let mut references = bakery.pushed(&["b/two:1", "a/one:1", "c:3"]);
    bakery.wants(&references);
    let finished = bakery.bakes(&[]);
    finished.assert_code(0).assert_says("6 images locked, the installer pinned, the unit enabled");
    let first = bakery.world.read(LOCK);
    let lock: toml::Table = first.parse().unwrap();
    let images = lock["image"].as_array().unwrap();
    let names: Vec<&str> = images.iter().map(|image| image["reference"].as_str().unwrap()).collect();
    let mut sorted: Vec<&str> = references.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted.extend(REPLICATED);
    assert_eq!(names, sorted);
    for image in images.iter().filter(|image| image.get("alias").is_some()) {
        let reference = image["reference"].as_str().unwrap();
        let (repository, alias) =
            (reference.rsplit_once(':').unwrap().0, reference.split_once('/').unwrap().1);
        let by_digest = format!("{repository}@{}", image["digest"].as_str().unwrap());
        assert_eq!(id_of(&bakery.engine, &by_digest).as_deref(), image["id"].as_str());
        assert_eq!(image["alias"].as_str(), Some(alias));
        assert!(image["size"].as_integer().unwrap() > 3_000_000);
    }
    assert_eq!(lock["installer"]["url"].as_str(), Some(bakery.vendor.asked()[0].as_str()));
    assert!(bakery.vendor.asked()[0].ends_with("?replicated_tag=2.38.6&replicated_ui_tag=2.38.6"));
    assert_eq!((bakery.world.mode(LOCK), bakery.world.mode(INSTALLER)), (0o644, 0o755));
    let installer = &lock["installer"];
    assert_eq!(installer["version"].as_str(), Some("2.38.6"));
    let known = installer["arguments_known"].as_array().unwrap();
    assert!(known.contains(&"no-public-address".into()) && known.len() == 6, "{known:?}");
    assert_eq!(installer["operator"]["url"].as_str(), Some(bakery.vendor.operator_url().as_str()));
    assert_eq!(
        (bakery.world.read(OPERATOR), bakery.world.mode(OPERATOR)),
        (vendor::operator_script(), 0o755)
    );

    references.reverse();
    bakery.wants(&references);
    let again = bakery.bakes(&["--output", "json"]);
    again.assert_code(0);
    assert_eq!(bakery.world.read(LOCK), first);
    let answer: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((&answer["version"], &answer["clean"]), (&1.into(), &true.into()));
    assert_eq!(answer["lock"]["image"].as_array().unwrap().len(), 6);

    push(&bakery.engine, &bakery.registry, "c:3");
    bakery.bakes(&[]).assert_code(0).assert_says(&format!("changed {}", references[0]));
    assert_ne!(bakery.world.read(LOCK), first, "a tag that was moved is another image");
}

#[test]
fn registry_that_fails_midway_is_waited_for_and_what_came_stays() {
    let mut bakery = Bakery::new();
    let references = bakery.pushed(&["a:1", "b:1"]);
    bakery.wants(&references[..1]);
    bakery.bakes(&[]).assert_code(0);
    bakery.wants(&references);
    let before = bakery.world.read(LOCK);
    bakery.registry.stop();
    let mut bake = bakery.bake(&[]).spawn();
    let line = bake.wait_for_line("registry.refused", LINE);
    assert!(line.contains("images     waiting"), "{line}");
    assert_eq!(bakery.world.read(LOCK), before, "written when all is there, and not before");
    bakery.registry.resume();
    bake.finish(SOON).assert_code(0).assert_says(&format!("{}: already complete", references[0]));
    assert!(bakery.world.read(LOCK).contains(&references[1]));
}

#[test]
fn what_cannot_be_had_is_named_at_once_and_nothing_is_locked() {
    let mut bakery = Bakery::new();
    let mut references = bakery.pushed(&["a:1"]);
    references.extend(["x:9", "y:9"].map(|name| format!("{}/{name}", bakery.registry.address())));
    bakery.wants(&references);
    let finished = bakery.bakes(&[]);
    finished.assert_code(1).assert_says("registry.not_found");
    finished.assert_says(&references[1]).assert_says(&references[2]);
    assert!(!bakery.world.exists(LOCK) && !bakery.world.exists(UNIT));
    assert!(id_of(&bakery.engine, &references[0]).is_some(), "what came stays");

    bakery.registry.stop();
    bakery.world.agent_toml("[images]\nwait = \"2s\"\n");
    bakery.wants(&references[..1]);
    bakery.bakes(&[]).assert_code(3).assert_says("registry.refused");
    assert!(!bakery.world.exists(LOCK));
}

#[test]
fn installer_that_is_none_is_refused_before_anything_is_pulled() {
    let bakery = Bakery::new();
    let references = bakery.pushed(&["a:1"]);
    let ask = |replicated: &str| {
        let image = format!("[[image]]\nreference = \"{}\"\n", references[0]);
        bakery.world.write(WANTED, format!("[replicated]\n{replicated}\n{image}"));
        bakery.bakes(&[])
    };
    let url = bakery.vendor.url();
    let unknown = ask(&format!("url = \"{url}\"\nreplicated_tag = \"9.9.9\""));
    unknown
        .assert_code(1)
        .assert_says("installer.download")
        .assert_says("Replicated version 9.9.9 not found");
    unknown.assert_says("Correct the versions");
    for page in ["<!DOCTYPE html><html>", "Replicated is down for maintenance\n", ""] {
        bakery.vendor.serve(page);
        ask(&format!("url = \"{url}\"")).assert_code(1).assert_says("installer.not_a_script");
    }
    bakery.vendor.serve("#!/bin/bash\n");
    let sum = "0".repeat(64);
    ask(&format!("url = \"{url}\"\nsha256 = \"{sum}\"")).assert_code(1).assert_says("installer.checksum");
    assert!(!bakery.world.exists(INSTALLER) && !bakery.world.exists(LOCK));
    assert_eq!(id_of(&bakery.engine, &references[0]), None);
}

#[test]
fn scripts_that_are_not_what_was_meant_are_refused_before_anything_is_pulled() {
    let bakery = Bakery::new();
    let references = bakery.pushed(&["a:1"]);
    bakery.wants(&references);
    let right = installer(&bakery.vendor);
    let other = |from: &str, to: &str| right.replace(from, to);
    for (script, kind, words) in [
        (CATCH_ALL.to_owned(), "installer.not_the_installer", "404: page not found"),
        (other("2.38.6\"", "2.53.2\""), "installer.other_version", "replicated 2.38.6"),
        (other("no-public-address", "public-address"), "installer.unknown_argument", "no-public-address"),
        (other("/operator?", "/unknown?"), "", "fit"),
    ] {
        bakery.vendor.serve(&script);
        let finished = bakery.bakes(&[]);
        if kind.is_empty() {
            // An edition that fetches no second script has none to pin.
            finished.assert_code(0);
            assert!(
                !bakery.world.exists(OPERATOR) && !bakery.world.read(LOCK).contains("[installer.operator]")
            );
            fs::remove_file(bakery.world.path(LOCK)).unwrap();
            continue;
        }
        finished.assert_code(1).assert_says(kind).assert_says(words);
        assert_eq!(id_of(&bakery.engine, &references[0]), None, "{kind}");
    }
}

#[test]
fn operators_script_is_refused_or_left_out() {
    let bakery = Bakery::new();
    bakery.wants(&[]);
    let right = vendor::operator_script();
    for (script, kind) in [
        (CATCH_ALL.to_owned(), "installer.not_the_operator"),
        ("Not Found".to_owned(), "installer.not_a_script"),
        (right.replace("stable-2.38.6", "stable-2.53.2"), "images.other_version"),
    ] {
        bakery.vendor.serve_operator(&script);
        bakery.bakes(&[]).assert_code(1).assert_says(kind);
        assert!(!bakery.world.exists(LOCK) && !bakery.world.exists(OPERATOR), "{kind}");
    }
    // An installer that is told not to run it needs none.
    bakery.world.agent_toml("[install]\narguments = [\"no-docker\", \"no-operator\"]\n");
    bakery.bakes(&[]).assert_code(0);
    assert!(!bakery.world.exists(OPERATOR));
    let sum = "0".repeat(64);
    bakery.world.agent_toml("");
    bakery.vendor.serve_operator(&right);
    let text = bakery.world.read(WANTED);
    bakery
        .world
        .write(WANTED, text.replace("[replicated]", &format!("[replicated]\noperator_sha256 = \"{sum}\"")));
    bakery.bakes(&[]).assert_code(1).assert_says("correct replicated.operator_sha256");
}

#[test]
fn images_that_the_installer_starts_are_locked_without_being_asked_for() {
    let bakery = Bakery::new();
    let text = wanted(&bakery.vendor, &[]);
    let end = text.find("[[image]]").unwrap();
    bakery.world.write(WANTED, &text[..end]);
    // The tests have no way to quay.io: it is waited for, under the exact names that the installer looks for.
    bakery.world.agent_toml("[images]\nwait = \"2s\"\n");
    let finished = bakery.bakes(&[]);
    finished.assert_code(3);
    for image in REPLICATED {
        finished.assert_says(&format!("{image}: added, because the installer starts it"));
    }
    let another = text.replace("replicated-ui:stable-2.38.6", "replicated-ui:stable-2.53.2");
    bakery.world.write(WANTED, another);
    bakery.bakes(&[]).assert_code(1).assert_says("images.other_version").assert_says("starts stable-2.38.6");
}

#[test]
fn verification_finds_what_does_not_belong_together() {
    let bakery = Bakery::new();
    bakery.wants(&[]);
    bakery.bakes(&[]).assert_code(0);
    assert_eq!(bakery.verdict(), (Some(0), Vec::new()));
    let failed = |id: &str| -> Vec<String> {
        let (_, failed) = bakery.verdict();
        failed.into_iter().filter(|(check, _)| check == id).flat_map(|(_, kinds)| kinds).collect()
    };
    bakery.world.agent_toml("[install]\narguments = [\"no-proxy\", \"daemon-token=x\"]\n");
    assert_eq!(failed("release"), ["installer.unknown_argument"]);
    bakery.world.agent_toml("");
    fs::remove_file(bakery.world.path(OPERATOR)).unwrap();
    assert_eq!(failed("installer"), ["installer.missing"]);
    bakery.world.write(OPERATOR, "#!/bin/sh\nrm -rf /\n");
    assert_eq!(failed("installer"), ["installer.checksum"]);
    bakery.bakes(&[]).assert_code(0);

    // A lock of version 1 knew no second script.
    let lock = bakery.world.read(LOCK);
    let start = lock.find("[installer.operator]").unwrap();
    let end = start + lock[start..].find("[[image]]").unwrap();
    bakery.world.write(LOCK, format!("{}{}", &lock[..start], &lock[end..]));
    assert_eq!(failed("release"), ["installer.operator_unpinned"]);
    let start = lock.find("[[image]]").unwrap();
    bakery.world.write(LOCK, &lock[..start]);
    assert_eq!(failed("release"), ["images.forgotten"; 3]);
}

#[test]
fn login_is_used_and_never_shown() {
    use base64::Engine as _;
    let bakery = Bakery::with_registry(Registry::with_login());
    bakery.registry.login(&bakery.engine);
    let references = bakery.pushed(&["a:1"]);
    bakery.wants(&references);
    bakery.bakes(&[]).assert_code(1).assert_says("registry.unauthorized");
    let login = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let logins = format!(r#"{{"auths": {{"{}": {{"auth": "{login}"}}}}}}"#, bakery.registry.address());
    bakery.world.write("/root/.docker/config.json", logins);
    let finished = bakery.bakes(&["-v"]);
    finished.assert_code(0).assert_silent_about(PASSWORD).assert_silent_about(&login);
    finished.assert_says("config.json is in the image: the image contains registry logins");
}

#[test]
fn image_is_taken_as_loaded_or_by_its_digest() {
    let bakery = Bakery::new();
    let pinned = bakery.pushed(&["a:1"]).remove(0);
    bakery.world.write(WANTED, format!("[[image]]\nreference = \"{pinned}\"\n"));
    bakery.bakes(&[]).assert_code(0).assert_says("no installer pinned");
    let lock: toml::Table = bakery.world.read(LOCK).parse().unwrap();
    let digest = lock["image"][0]["digest"].as_str().unwrap().to_owned();
    push(&bakery.engine, &bakery.registry, "a:1");
    bakery.engine.docker(&["rmi", "--force", &pinned]);
    bakery.engine.docker(&["tag", "busybox", "10.9.9.9:9874/frontend:2.19"]);
    let text = format!(
        "[[image]]\nreference = \"{pinned}\"\ndigest = \"{digest}\"\n\
         [[image]]\nreference = \"10.9.9.9:9874/frontend:2.19\"\npull = false\nalias = true\n"
    );
    bakery.world.write(WANTED, &text);
    bakery.bakes(&[]).assert_code(0);
    let lock: toml::Table = bakery.world.read(LOCK).parse().unwrap();
    let by_name = |name: &str| {
        let images = lock["image"].as_array().unwrap().iter();
        images.clone().find(|image| image["reference"].as_str() == Some(name)).unwrap()
    };
    assert_eq!(by_name(&pinned)["digest"].as_str(), Some(digest.as_str()));
    assert_eq!(id_of(&bakery.engine, &pinned).as_deref(), by_name(&pinned)["id"].as_str());
    let loaded = by_name("10.9.9.9:9874/frontend:2.19");
    assert_eq!(loaded["id"].as_str(), id_of(&bakery.engine, "busybox").as_deref());
    assert_eq!((loaded.get("digest"), loaded["alias"].as_str()), (None, Some("frontend:2.19")));
    bakery.world.write(WANTED, text.replace("frontend:2.19", "frontend:2.20"));
    bakery.bakes(&[]).assert_code(1).assert_says("images.missing").assert_says("docker load");
}

#[test]
fn wrong_request_is_a_matter_of_settings() {
    let world = CommandContext::new().with_docker("unix:///nonexistent/docker.sock");
    let bake = || Agent::new(&world).arg("bake").run(SOON);
    bake().assert_code(2).assert_says("settings.missing").assert_says("packer/images.toml");
    world.write(WANTED, "[[image]]\nreferense = \"a:1\"\n");
    bake().assert_code(2).assert_says("line 2: unknown field `referense`");
}

#[test]
fn second_bake_at_the_same_time_is_refused() {
    let mut bakery = Bakery::new();
    let references = bakery.pushed(&["a:1"]);
    bakery.wants(&references);
    bakery.registry.stop();
    let mut first = bakery.bake(&[]).spawn();
    first.wait_for_line("registry.refused", LINE);
    bakery.bakes(&[]).assert_code(1).assert_says("bake.other_runs");
    bakery.registry.resume();
    first.finish(SOON).assert_code(0);
}

#[test]
fn terminal_shows_each_pull_and_all_of_them() {
    let bakery = Bakery::new();
    let references = bakery.pushed(&["a:1", "b:1", "c:1"]);
    bakery.wants(&references);
    let finished = on_a_terminal(bakery.bake(&[])).run(SOON);
    finished.assert_code(0);
    let screen = screen(&finished.stdout);
    let line = |words: &str| {
        let found = screen.iter().find(|line| line.contains(words));
        found.unwrap_or_else(|| panic!("no {words:?} in {screen:#?}\n{finished}")).clone()
    };
    assert!(line("✓ images").contains("6 images, "), "{screen:#?}");
    line(&format!("{}: pulled, 2 layers, 2.86 MiB", references[0]));
    line("✓ baked: 6 images locked");
    assert!(!screen.iter().any(|line| line.contains('━')), "the bars are gone at the end: {screen:#?}");
    for shown in ["of 6 images, ", "/2 layers"] {
        assert!(finished.stdout.contains(shown), "{shown} was not drawn\n{finished}");
    }
}

/// What a used box leaves, as paths under its root.
const LEFT: [&str; 15] = [
    "/etc/default/replicated",
    "/etc/default/replicated-operator",
    "/etc/systemd/system/replicated-ui.service",
    "/etc/systemd/system/multi-user.target.wants/replicated.service",
    "/usr/local/bin/replicatedctl",
    "/var/lib/replicated",
    "/var/lib/boot-agent",
    "/var/lib/cloud/instances",
    "/var/lib/cloud/sem",
    "/var/log/cloud-init-output.log",
    "/etc/settings.conf",
    "/etc/license.rli",
    "/etc/circle-installation-customizations",
    "/etc/ssh/ssh_host_ed25519_key",
    "/srv/internal.crt",
];

fn leave(bakery: &Bakery) {
    for path in LEFT {
        let inner = matches!(path, "/var/lib/replicated" | "/var/lib/boot-agent")
            || path.starts_with("/var/lib/cloud/");
        bakery.world.write(&if inner { format!("{path}/deep/file") } else { path.to_owned() }, "left");
    }
    bakery.world.write("/etc/cloud/cloud.cfg", "");
    bakery.world.write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    bakery.world.write("/data/circle/circleci-encryption-keys/key", "irreplaceable");
    // These belong to the image.
    bakery.world.write("/etc/systemd/system/replicated.service.d/own.conf", "kept");
    bakery.world.write("/var/lib/cloud/seed/nocloud/meta-data", "kept");
    bakery.world.agent_toml("[[extra]]\nobject = \"internal.crt\"\npath = \"/srv/internal.crt\"\n");
    bakery.engine.docker(&["create", "--name=replicated-statsd", "--network=none", "busybox", "true"]);
}

#[test]
fn what_another_box_left_is_named_and_removed_when_that_is_asked_for() {
    let bakery = Bakery::new();
    bakery.wants(&[]);
    leave(&bakery);
    let found = bakery.bakes(&[]);
    found
        .assert_code(1)
        .assert_says("not ready to ship")
        .assert_says("The container replicated-statsd is in the image");
    for path in LEFT.iter().chain(&["/etc/machine-id", "/data/circle"]) {
        found.assert_says(&format!("{} is in the image", bakery.world.path(path).display()));
        assert!(bakery.world.exists(path), "{path}");
    }
    found.assert_silent_about("own.conf").assert_silent_about("/var/lib/cloud/seed");

    let cleaned = bakery.bakes(&["--clean"]);
    cleaned.assert_code(1).assert_says("which may be the only copy");
    for path in LEFT {
        assert!(!bakery.world.exists(path), "{path}");
        cleaned.assert_says(&format!("removed {}: ", bakery.world.path(path).display()));
    }
    // Without the file, systemd would reset what is enabled.
    assert_eq!(bakery.world.read("/etc/machine-id"), "");
    cleaned.assert_says("emptied ").assert_says("removed the container replicated-statsd: ");
    assert_eq!(bakery.engine.docker(&["ps", "--all", "--quiet"]), "");
    for kept in [
        "/data/circle/circleci-encryption-keys/key",
        "/etc/systemd/system/replicated.service.d/own.conf",
        "/var/lib/cloud/seed/nocloud/meta-data",
    ] {
        assert!(bakery.world.exists(kept), "{kept}");
    }
    fs::remove_dir_all(bakery.world.path("/data")).unwrap();
    bakery.bakes(&["--clean"]).assert_code(0).assert_silent_about("removed /").assert_silent_about("emptied");
    assert_eq!(bakery.verdict(), (Some(0), Vec::new()));
}

#[test]
fn image_that_was_baked_passes_and_changes_nothing() {
    let bakery = Bakery::new();
    bakery.wants(&bakery.pushed(&["a:1", "b:1"]));
    bakery.bakes(&[]).assert_code(0);
    let before = bakery.world.files();
    bakery.bakes(&["--verify"]).assert_code(0).assert_says("ready to ship").assert_silent_about("✗");
    assert_eq!(bakery.world.files(), before);
    assert!(bakery.world.read("/etc/boot-agent/agent.toml").contains("#source ="), "every key is shown");
}

#[test]
fn everything_that_is_wrong_with_an_image_is_said_at_once() {
    let mut bakery = Bakery::new();
    let references = bakery.pushed(&["a:1", "b:1"]);
    bakery.wants(&references);
    let kinds = |of: &[(&str, &[&str])]| {
        let owned = |(id, kinds): &(&str, &[&str])| {
            ((*id).to_owned(), kinds.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>())
        };
        of.iter().map(owned).collect::<Vec<_>>()
    };
    let (code, failed) = bakery.verdict();
    assert_eq!(code, Some(1));
    assert_eq!(
        failed,
        kinds(&[("lock", &["lock.missing"]), ("unit", &["unit.missing", "unit.not_enabled"])])
    );

    bakery.bakes(&[]).assert_code(0);
    bakery.engine.docker(&["rmi", "--force", &references[0]]);
    bakery.engine.docker(&["tag", "busybox", &references[1]]);
    bakery.world.write(INSTALLER, "#!/bin/bash\nrm -rf /\n");
    bakery.world.write(UNIT, "[Service]\nExecStart=/bin/true\n");
    fs::remove_file(bakery.world.path(ENABLED)).unwrap();
    fs::remove_file(bakery.world.path("/usr/local/bin/agent")).unwrap();
    bakery.world.write("/etc/default/replicated", "REPLICATED_OPTS=");
    bakery.wants(&[references[0].clone(), format!("{}/c:1", bakery.registry.address())]);
    let (code, failed) = bakery.verdict();
    assert_eq!(code, Some(1));
    let expected = kinds(&[
        ("lock", &["lock.stale", "lock.stale"]),
        ("images", &["images.missing", "images.wrong_id"]),
        ("installer", &["installer.checksum"]),
        ("release", &["installer.not_the_installer"]),
        ("unit", &["unit.other", "unit.not_enabled"]),
        ("binary", &["binary.missing"]),
        ("hygiene", &["hygiene.replicated"]),
    ]);
    assert_eq!(failed, expected);

    bakery.world.write("/usr/local/bin/agent", "#!/bin/sh\nexit 7\n");
    let lock = bakery.world.read(LOCK);
    bakery.world.write(LOCK, &lock[..lock.len() / 2]);
    bakery.engine.stop();
    let (_, failed) = bakery.verdict();
    let found: Vec<String> = failed.into_iter().flat_map(|(_, kinds)| kinds).collect();
    assert!(found.contains(&"binary.not_executable".to_owned()), "{found:?}");
    assert!(found.iter().any(|kind| kind.starts_with("lock.")), "{found:?}");
}

#[test]
#[ignore = "slow: 30 s"]
fn bake_that_is_killed_at_any_moment_leaves_nothing_torn() {
    let bakery = Bakery::new();
    let references = bakery.pushed(&["a:1", "b:1"]);
    bakery.wants(&references[..1]);
    bakery.bakes(&[]).assert_code(0);
    let read = || [LOCK, INSTALLER, UNIT].map(|path| bakery.world.read(path));
    let old = read();
    bakery.vendor.serve(installer(&bakery.vendor) + "# another one\n");
    bakery.wants(&references);
    let started = std::time::Instant::now();
    bakery.bakes(&[]).assert_code(0);
    let (whole, new) = (started.elapsed(), read());
    assert!(old[0] != new[0] && old[1] != new[1]);
    for moment in 0..20_u32 {
        for (path, content) in [LOCK, INSTALLER, UNIT].iter().zip(&old) {
            bakery.world.write(path, content);
        }
        bakery.engine.docker(&["rmi", "--force", &references[1]]);
        let bake = bakery.bake(&[]).spawn();
        std::thread::sleep(whole * moment / 20);
        bake.kill();
        for ((found, old), new) in read().iter().zip(&old).zip(&new) {
            assert!(found == old || found == new, "torn at moment {moment}: {found}");
        }
        if bakery.world.read(LOCK) == new[0] {
            assert_eq!(bakery.world.read(INSTALLER), new[1], "the lock promises it");
            assert!(id_of(&bakery.engine, &references[1]).is_some(), "the lock promises it");
        }
    }
    bakery.bakes(&[]).assert_code(0);
    assert_eq!(read(), new);
    assert_eq!(bakery.verdict(), (Some(0), Vec::new()));
}
