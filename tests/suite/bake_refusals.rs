//! Baking: scripts and images that are not what was meant are refused, and `--verify` finds them.

use std::fs;

use super::bake::{Bakery, LOCK, OPERATOR, REPLICATED, WANTED, id_of, installer, wanted};
use super::harness::vendor::{self, CATCH_ALL};
use super::scene::INSTALLER;

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
