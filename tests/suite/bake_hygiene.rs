//! Baking: what another box left is found, `--verify` says everything at once, and whatever happens in between, what is on
//! disk is whole.

use std::fs;

use super::bake::{Bakery, ENABLED, LOCK, UNIT, id_of, installer};
use super::scene::INSTALLER;

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
