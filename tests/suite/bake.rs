//! Baking: what is asked for comes from a real registry onto a real engine and is locked; what another box left is
//! found; and whatever happens in between, what is on disk is whole.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use serde_json::Value;

use super::harness::agent::{Agent, CommandContext, Finished};
use super::harness::engine::{self, EngineLease};
use super::harness::registry::{PASSWORD, Registry, USER};
use super::harness::vendor::{self, Vendor};
use super::scene::{ADDRESS, INSTALLER, SOON, Scene};
use super::terminal::{on_a_terminal, screen};

pub(super) const LOCK: &str = "/etc/boot-agent/images.lock";
pub(super) const OPERATOR: &str = "/usr/local/lib/boot-agent/replicated-operator.sh";
pub(super) const WANTED: &str = "/etc/boot-agent/images.toml";
pub(super) const UNIT: &str = "/etc/systemd/system/boot-agent.service";
pub(super) const ENABLED: &str = "/etc/systemd/system/multi-user.target.wants/boot-agent.service";
/// How long a line may take that is due at once, on a busy machine.
const LINE: Duration = Duration::from_secs(40);

/// A machine that is to become an image.
pub(super) struct Bakery {
    pub(super) world: CommandContext,
    pub(super) engine: EngineLease,
    pub(super) registry: Registry,
    pub(super) vendor: Vendor,
}

impl Bakery {
    pub(super) fn new() -> Self {
        Self::with_registry(Registry::start())
    }

    pub(super) fn with_registry(registry: Registry) -> Self {
        let engine = engine::lease();
        let world = CommandContext::new().with_docker(engine.docker_host());
        symlink(env!("CARGO_BIN_EXE_agent"), world.path("/usr/local/bin/agent")).unwrap();
        let vendor = Vendor::start();
        vendor.serve(installer(&vendor));
        Self { world, engine, registry, vendor }
    }

    /// Images that lie in the registry alone, one layer each on top of busybox; their references.
    pub(super) fn pushed(&self, names: &[&str]) -> Vec<String> {
        names.iter().map(|name| push(&self.engine, &self.registry, name)).collect()
    }

    /// Asks for the installer and these images.
    pub(super) fn wants(&self, references: &[String]) {
        self.world.write(WANTED, wanted(&self.vendor, references));
    }

    pub(super) fn bakes(&self, arguments: &[&str]) -> Finished {
        self.bake(arguments).run(SOON)
    }

    pub(super) fn bake(&self, arguments: &[&str]) -> Agent {
        Agent::new(&self.world).arg("bake").args(arguments)
    }

    /// The checks of `bake --verify` that failed, with the kinds of what they found.
    pub(super) fn verdict(&self) -> (Option<i32>, Vec<(String, Vec<String>)>) {
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
pub(super) const REPLICATED: [&str; 3] = [
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
pub(super) fn id_of(engine: &EngineLease, name: &str) -> Option<String> {
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
