//! The installer when somebody else's server is away: waited for, named, and no reason to replace the box.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use super::aftermath::{assert_abandoned, evidence, waits};
use super::scene::{Internet, SOON, Scene};

/// A boot that has failed for a reason outside of the box: it holds, and tells the group nothing.
#[track_caller]
fn assert_held(scene: &Scene, kind: &str) {
    let mut boot = scene.boot().spawn();
    boot.wait_for_line("held:", SOON);
    let record = scene.record();
    let cause = &record["cause"];
    assert_eq!((&cause["kind"], &cause["class"]), (&kind.into(), &"external".into()), "{cause:#}");
    assert_eq!(record["outcome"], "held");
    assert_eq!(scene.completions(), Vec::<String>::new(), "a replacement would only fail the same way");
}

/// A server that answers every request so; with an empty answer, never.
fn serve(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let mut held = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            if answer.is_empty() {
                held.push(stream);
            } else {
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    answer.len()
                );
                let _ = stream.write_all((head + answer).as_bytes());
            }
        }
    });
    url
}

/// A box without a lock whose operator's script comes from `origin`.
fn with_operator_from(scene: &Scene, origin: &str) -> Internet {
    let internet = scene.without_lock();
    scene.install_installer(|script| internet.serves(script).replace(internet.vendor.origin(), origin));
    internet
}

#[test]
fn registry_that_is_away_is_waited_for_and_its_return_is_enough() {
    let scene = Scene::new();
    let mut internet = scene.without_lock();
    internet.registry.stop();
    let mut boot = scene.boot().spawn();
    let line = boot.wait_for_line("install    waiting", SOON);
    assert!(line.contains("installer.network"), "{line}");
    internet.registry.resume();
    boot.finish(SOON).assert_code(0);
    assert_eq!(scene.completions(), ["CONTINUE"]);
    assert!(scene.installer_runs() >= 2);
    assert_eq!(waits(&scene, "install"), ["installer.network"]);
}

#[test]
fn outage_of_somebody_elses_registry_never_replaces_the_box() {
    let scene = Scene::new();
    let mut internet = scene.without_lock();
    internet.registry.stop();
    scene.write_settings("[install]\nwait = \"1s\"");
    assert_held(&scene, "installer.network");
    assert!(evidence(&scene).contains("connection refused"), "{}", evidence(&scene));
}

#[test]
fn server_of_the_operator_that_is_down_is_named_in_curls_words() {
    let scene = Scene::new();
    let nobody = format!("http://127.0.0.1:{}", super::harness::parts::free_port());
    let _internet = with_operator_from(&scene, &nobody);
    scene.write_settings("[install]\nwait = \"1s\"");
    assert_held(&scene, "installer.network");
    assert!(evidence(&scene).contains("installer: curl: (7) "), "{}", evidence(&scene));
}

#[test]
fn curl_that_hangs_is_named_with_its_url() {
    let scene = Scene::new();
    let silent = serve("");
    let _internet = with_operator_from(&scene, &silent);
    scene.write_settings("[install]\nwait = \"1s\"\ndeadline = \"5s\"");
    assert_held(&scene, "installer.deadline");
    let record = scene.record();
    let sentence = record["cause"]["sentence"].as_str().unwrap();
    assert!(sentence.contains(&format!("{silent}/operator?")), "{sentence}");
    assert!(evidence(&scene).contains("still running: curl -sSL"), "{}", evidence(&scene));
}

#[test]
fn text_in_place_of_the_operators_script_is_not_blamed_on_docker() {
    for text in ["Not Found", "<!DOCTYPE html>\n<html><head><title>503</title></head></html>\n"] {
        let scene = Scene::new();
        let _internet = with_operator_from(&scene, &serve(text));
        scene.write_settings("[install]\nwait = \"1s\"");
        assert_held(&scene, "installer.operator");
        let record = scene.record();
        let said = format!("{:#}", record["cause"]);
        assert!(!record["cause"]["sentence"].as_str().unwrap().contains("ocker"), "{said}");
        assert!(said.contains("operator?replicated_operator_tag=2.38.6"), "{said}");
    }
}

#[test]
fn docker_is_blamed_on_dockers_words() {
    let scene = Scene::new();
    scene.install_installer(|script| script.replace("command -v docker", "command -v no-such-docker"));
    scene.lock("");
    let finished = scene.boots();
    assert_abandoned(&scene, &finished, 1, "installer.exit", "config");
    finished.assert_says("Docker");
    assert!(evidence(&scene).contains("exit code: 127"), "{}", evidence(&scene));
}

#[test]
fn command_that_is_missing_is_named() {
    let scene = Scene::new();
    scene.install_installer(|script| {
        script.replacen("discover_addresses\n", "no-such-netstat -i || exit $?\n", 1)
    });
    scene.lock("");
    let finished = scene.boots();
    assert_abandoned(&scene, &finished, 1, "installer.exit", "config");
    let record = scene.record();
    assert!(record["cause"]["sentence"].as_str().unwrap().contains("netstat"), "{:#}", record["cause"]);
}

#[test]
fn image_that_is_missing_under_its_exact_tag_is_named() {
    let scene = Scene::new();
    let _internet = scene.without_lock();
    scene.engine.docker(&["rmi", "quay.io/replicated/replicated-ui:stable-2.38.6"]);
    scene.write_settings(
        "[install]\narguments = [\"no-proxy\", \"no-docker\", \"no-public-address\", \"skip-preflights\", \"skip-pull\"]",
    );
    let finished = scene.boots();
    assert_abandoned(&scene, &finished, 1, "installer.exit", "config");
    let evidence = evidence(&scene);
    assert!(
        evidence.contains("exit code: 125") && evidence.contains("unknown shorthand flag: 'f'"),
        "{evidence}"
    );
    finished.assert_says("skip-pull");
}

#[test]
fn page_in_place_of_the_installer_is_refused_although_it_is_a_script() {
    let scene = Scene::new();
    let internet = scene.without_lock();
    scene.write_settings(&format!("[install]\nurl = \"{}/dokcer\"", internet.vendor.origin()));
    let finished = scene.boots();
    assert_abandoned(&scene, &finished, 1, "installer.not_the_installer", "config");
    assert!(evidence(&scene).contains("404: page not found"), "{}", evidence(&scene));
}

#[test]
fn docker_that_is_restarted_for_a_proxy_in_mid_boot_is_survived_and_said() {
    let mut scene = Scene::new();
    scene.stand_in("mode", "restart-docker\n");
    let conf = super::scene::REPLICATED.replacen('{', "{\n  \"HttpProxy\": \"http://10.0.0.9:3128\",", 1);
    scene.put("replicated.conf", conf);
    scene
        .write_settings("[install]\narguments = [\"no-docker\", \"no-public-address\", \"skip-preflights\"]");
    let mut boot = scene.boot().spawn();
    boot.wait_for_line("This script will automatically configure it now.", SOON);
    scene.engine.stop();
    thread::sleep(Duration::from_millis(300));
    scene.engine.start();
    scene.stand_in("docker-restarted", "");
    boot.finish(SOON).assert_code(0).assert_says("installer.docker_restarted");
}
