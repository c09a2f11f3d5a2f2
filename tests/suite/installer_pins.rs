//! A box with an image lock boots without the internet, and runs no script and no image that the lock does not name.

use std::fs;

use super::aftermath::{assert_abandoned, evidence};
use super::harness::agent::Agent;
use super::harness::vendor;
use super::scene::{INSTALLER, Internet, LOCK, OPERATOR, SOON, STAND_IN, Scene};

const DAEMON: &str = "quay.io/replicated/replicated:stable-2.38.6";

/// The id of the image that a container runs.
fn runs(scene: &Scene, container: &str) -> String {
    scene.engine.docker(&["inspect", "--type=container", "--format={{.Image}}", container])
}

fn id_of(scene: &Scene, image: &str) -> String {
    scene.engine.docker(&["image", "inspect", "--format={{.Id}}", image])
}

fn operator_runs(scene: &Scene) -> usize {
    let runs = format!("{STAND_IN}/operator-runs");
    if scene.world.exists(&runs) { scene.world.read(&runs).lines().count() } else { 0 }
}

/// A registry whose tags for Replicated stand for other images than those of the lock, and a server whose scripts are not
/// the pinned ones. The box is locked, and its installer would ask them.
fn treacherous_internet(scene: &Scene) -> Internet {
    let internet = scene.without_lock();
    let engine = &scene.engine;
    engine.docker(&["run", "--name=other", "--network=none", DAEMON, "sh", "-c", "echo another >/another"]);
    engine.docker(&["commit", "--change=CMD [\"/bin/sleep\", \"1000000\"]", "other", "other:1"]);
    engine.docker(&["rm", "other"]);
    internet.registry.push(engine, "other:1", "replicated/replicated:stable-2.38.6");
    scene.install_installer(|script| internet.serves(script));
    scene.lock_operator_of(&internet.vendor.operator_url());
    internet.vendor.serve_operator("#!/bin/bash\necho an operator that nobody pinned\nexit 9\n");
    internet
}

#[test]
fn locked_box_boots_without_the_internet() {
    let scene = Scene::new();
    let finished = scene.boots();
    finished.assert_code(0);
    assert_eq!((scene.installer_runs(), operator_runs(&scene)), (1, 1));
    let words = scene.world.read(&format!("{STAND_IN}/runs"));
    assert!(words.trim_end().ends_with(" skip-pull"), "{words}");
    assert_eq!(runs(&scene, "replicated"), id_of(&scene, DAEMON));
    finished.assert_says("Operator installation successful");
    assert_eq!(scene.completions(), ["CONTINUE"]);
}

#[test]
fn locked_box_takes_nothing_from_an_internet_that_has_changed() {
    let scene = Scene::new();
    let internet = treacherous_internet(&scene);
    let locked = id_of(&scene, DAEMON);
    let (pulls, fetches) = (internet.registry.requests().len(), internet.vendor.asked().len());
    scene.boots().assert_code(0);
    assert_eq!(runs(&scene, "replicated"), locked, "the image is the locked one");
    assert_eq!(operator_runs(&scene), 1, "the operator's script is the pinned one");
    assert_eq!(internet.registry.requests().len(), pulls, "the registry is not asked");
    assert_eq!(internet.vendor.asked().len(), fetches, "the vendor is not asked");
}

#[test]
fn box_without_a_lock_takes_what_the_internet_has() {
    let scene = Scene::new();
    let internet = scene.without_lock();
    scene.boots().assert_code(0);
    let asked = internet.vendor.asked();
    assert!(asked.iter().any(|url| url.contains("/operator?replicated_operator_tag=2.38.6")), "{asked:?}");
    let requests = internet.registry.requests();
    assert!(requests.contains(" /v2/replicated/replicated-operator/manifests/stable-2.38.6"), "{requests}");
    assert!(!scene.world.read(&format!("{STAND_IN}/runs")).contains("skip-pull"));
}

#[test]
fn operator_that_is_not_the_pinned_one_never_runs() {
    let scene = Scene::new();
    scene.world.write(OPERATOR, "#!/bin/bash\necho another\n");
    let finished = scene.boots();
    assert_abandoned(&scene, &finished, 1, "installer.checksum", "config");
    assert!(evidence(&scene).contains("replicated-operator.sh"), "{}", evidence(&scene));
    assert_eq!(scene.installer_runs(), 0);

    let scene = Scene::new();
    fs::remove_file(scene.world.path(OPERATOR)).unwrap();
    let finished = scene.boots();
    assert_abandoned(&scene, &finished, 1, "installer.missing", "config");
    finished.assert_says("agent bake");
}

#[test]
fn lock_that_pins_less_than_what_runs_is_refused() {
    for (part, kind) in [
        ("[installer.operator]", "lock.no_operator"),
        ("[installer]", "lock.no_installer"),
        ("[[image]]", "lock.no_replicated_image"),
    ] {
        let scene = Scene::new();
        let lock = scene.world.read(LOCK);
        let (before, rest) = lock.split_once(part).unwrap();
        let rest = match part {
            "[installer]" | "[installer.operator]" => &rest[rest.find("[[image]]").unwrap()..],
            _ => "",
        };
        scene.world.write(LOCK, format!("{before}{rest}"));
        let finished = scene.boots();
        assert_abandoned(&scene, &finished, 1, kind, "config");
        finished.assert_says("agent bake");
        assert_eq!(scene.installer_runs(), 0, "{part}");
    }
}

#[test]
fn lock_of_version_1_is_read_and_its_unpinned_operator_is_named() {
    for wants_operator in [true, false] {
        let scene = Scene::new();
        let lock = scene
            .world
            .read(LOCK)
            .replace("version = 2", "version = 1")
            .replace("version = \"2.38.6\"\n", "");
        let (operator, images) =
            (lock.find("[installer.operator]").unwrap(), lock.find("[[image]]").unwrap());
        scene.world.write(LOCK, format!("{}{}", &lock[..operator], &lock[images..]));
        let more = if wants_operator { "" } else { ", \"no_operator\"" };
        scene.write_settings(&format!(
            "[install]\narguments = [\"no-proxy\", \"no-docker\", \"no-public-address\"{more}]"
        ));
        let finished = scene.boots();
        if wants_operator {
            assert_abandoned(&scene, &finished, 1, "lock.no_operator", "config");
            finished.assert_says("agent bake");
        } else {
            // Where no operator is installed, nothing is left unpinned.
            finished.assert_code(0);
        }
        assert_eq!((scene.installer_runs(), operator_runs(&scene)), (usize::from(!wants_operator), 0));
    }
}

#[test]
fn installer_that_fetches_what_is_not_pinned_is_refused() {
    for fetch in ["curl -sSL", "wget -qO-"] {
        let scene = Scene::new();
        let vendor = vendor::Vendor::start();
        let url = format!("{}/docker-install.sh?version=17", vendor.origin());
        scene.install_installer(|script| {
            script.replacen(
                "discover_addresses\ncheck_docker\n",
                &format!("{fetch} '{url}' >/dev/null || exit $?\n"),
                1,
            )
        });
        let marker = scene.world.path("/tmp/marker");
        vendor.serve(format!("touch {}\n", marker.display()));
        scene.lock("");
        let finished = scene.boots();
        assert_abandoned(&scene, &finished, 1, "installer.fetch_refused", "config");
        assert!(evidence(&scene).contains(&url), "{}", evidence(&scene));
        assert_eq!(vendor.asked(), Vec::<String>::new(), "nothing was asked for it");
        assert!(!marker.exists());
    }
}

#[test]
fn another_image_than_the_locked_one_is_never_taken_for_good() {
    let scene = Scene::new();
    let other = "start replicated quay.io/replicated/replicated-ui:current";
    scene.install_installer(|script| {
        script.replace("start replicated quay.io/replicated/replicated:current", other)
    });
    scene.lock("");
    let finished = scene.boots();
    assert_abandoned(&scene, &finished, 1, "replicated.not_locked", "host");
    let evidence = evidence(&scene);
    assert!(evidence.contains(&format!("locked: {}", id_of(&scene, DAEMON))), "{evidence}");
    assert!(evidence.contains(&format!("runs: {}", runs(&scene, "replicated"))), "{evidence}");
}

/// Puts another image under the name of the daemon's container, as a person or an upgrade does.
fn replace_daemon(scene: &Scene) {
    scene.engine.docker(&["rm", "--force", "replicated"]);
    let image = "quay.io/replicated/replicated-ui:stable-2.38.6";
    let stand_in = format!("{}:/stand-in", scene.world.path(STAND_IN).display());
    let network = "--network=host";
    scene.engine.docker(&["run", "--detach", "--name=replicated", network, "--volume", &stand_in, image]);
}

#[test]
fn image_replaced_later_is_found_by_boot_and_probe_and_put_back_by_force() {
    let scene = Scene::new();
    scene.boots().assert_code(0);
    let locked = runs(&scene, "replicated");
    replace_daemon(&scene);

    let asked = Agent::new(&scene.world).args(["probe", "--only", "replicated.images"]).run(SOON);
    asked.assert_code(1).assert_says("replicated.not_locked").assert_says("agent boot --force");
    let finished = scene.boots();
    finished.assert_code(1).assert_says("[replicated.not_locked, host").assert_says("agent boot --force");
    assert_eq!((scene.completions(), scene.installer_runs()), (vec!["CONTINUE".to_owned()], 1));

    scene.boot().arg("--force").run(SOON).assert_code(0);
    assert_eq!(runs(&scene, "replicated"), locked);
    Agent::new(&scene.world).args(["probe", "--only", "replicated.images"]).run(SOON).assert_code(0);
}

/// The name has moved to the locked image, and the app's container still runs the other one.
#[test]
fn app_container_that_runs_another_image_than_the_locked_one_is_found() {
    const APP: &str = "circleci/frontend:2.18.3";
    let scene = Scene::new();
    let lock = |image: &str| {
        let id = id_of(&scene, image);
        scene.lock(&format!("[[image]]\nreference = \"{APP}\"\nid = \"{id}\"\n"));
    };
    lock(APP);
    scene.boots().assert_code(0);
    lock(DAEMON);
    let booted = scene.boots();
    booted.assert_code(1).assert_says("replicated.not_locked").assert_says(&format!("frontend ({APP})"));
    let probed = Agent::new(&scene.world).args(["probe", "--only", "replicated"]).run(SOON);
    probed.assert_code(1).assert_says("replicated.not_locked");
}

#[test]
fn installer_is_not_run_with_an_argument_that_the_lock_does_not_know() {
    let scene = Scene::new();
    let lock = scene.world.read(LOCK);
    let known = "arguments_known = [\"local-address\", \"no-docker\"]\n[installer.operator]";
    scene.world.write(LOCK, lock.replace("[installer.operator]", known));
    let booted = scene.boots();
    booted.assert_says("no-public-address");
    assert_eq!(scene.installer_runs(), 0);
    assert_abandoned(&scene, &booted, 1, "installer.unknown_argument", "config");
}

#[test]
fn another_image_on_a_box_that_never_came_into_service_is_replaced_by_the_locked_one() {
    let scene = Scene::new();
    let locked = id_of(&scene, DAEMON);
    for name in ["replicated-ui", "replicated-operator"] {
        let image = format!("quay.io/replicated/{name}:stable-2.38.6");
        scene.engine.docker(&["run", "--detach", "--network=none", &format!("--name={name}"), &image]);
    }
    scene.engine.docker(&["run", "--name=replicated", "--network=none", "busybox", "true"]);
    replace_daemon(&scene);
    scene.boots().assert_code(0);
    assert_eq!((scene.installer_runs(), runs(&scene, "replicated")), (1, locked));
}

#[test]
fn installer_from_a_url_must_be_the_locked_one() {
    for is_locked in [true, false] {
        let scene = Scene::new();
        let vendor = vendor::Vendor::start();
        let script = scene.world.read(INSTALLER);
        vendor.serve(if is_locked { script } else { script + "\n# another\n" });
        scene.write_settings(&format!("[install]\nurl = \"{}\"", vendor.url()));
        let finished = scene.boots();
        if is_locked {
            finished.assert_code(0);
        } else {
            assert_abandoned(&scene, &finished, 1, "installer.checksum", "config");
        }
        assert_eq!(scene.installer_runs(), usize::from(is_locked));
    }
}
