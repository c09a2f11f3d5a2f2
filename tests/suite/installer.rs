//! The installer: it may fail, lie, loop, flood, leak, or not be the one that was pinned.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::aftermath::{assert_abandoned, detail, evidence, warnings};
use super::harness::{parts, shell};
use super::scene::{ADDRESS, INSTALLER, LOCK, REPLICATED, SOON, Scene};

const CONF: &str = "/etc/replicated.conf";

/// A line in the installer's own words, in the cause of the last boot.
#[track_caller]
fn assert_quotes(scene: &Scene, words: &str) {
    let evidence = evidence(scene);
    assert!(evidence.contains(&format!("installer: {words}")), "{evidence}");
}

/// The console password is in this file, and the installer opens it to the world.
#[track_caller]
fn assert_conf_is_closed(scene: &Scene) {
    assert_eq!(scene.world.mode(CONF), 0o640);
    let found = fs::metadata(scene.world.path(CONF)).unwrap();
    assert_eq!((found.uid(), found.gid()), (0, 997), "root and the world's group docker");
}

/// A SHA-256 as `sha256sum` prints it.
fn checksum(file: &Path) -> String {
    let said = shell::must(Command::new("sha256sum").arg(file));
    said.split(' ').next().unwrap().to_owned()
}

/// A server on the loopback that gives one answer, however often it is asked. It lives as long as the test program.
fn serve(status: &str, body: impl AsRef<[u8]>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/docker?replicated_tag=9.9.9", listener.local_addr().unwrap());
    let body = body.as_ref();
    let mut answer =
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len())
            .into_bytes();
    answer.extend_from_slice(body);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&answer);
        }
    });
    url
}

/// The processes whose command line or environment names this root: what the installer started, and the agent itself.
fn processes_of(root: &Path) -> Vec<String> {
    let root = root.to_str().unwrap();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let found = pids.filter_map(|pid| {
        let of = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let command = String::from_utf8_lossy(&of("cmdline")).replace('\0', " ");
        let names = command.contains(root) || String::from_utf8_lossy(&of("environ")).contains(root);
        names.then(|| format!("{pid} {command}"))
    });
    found.collect()
}

#[test]
fn installer_that_fails_is_quoted() {
    let scene = Scene::new();
    scene.stand_in("mode", "exit-1\n");
    let finished = scene.boots();
    assert_abandoned(&scene, &finished, 1, "installer.exit", "host");
    assert_quotes(&scene, "Error: something went wrong on line 1042");
    finished.assert_says("install    | Error: something went wrong on line 1042");
    assert_conf_is_closed(&scene);
    assert_eq!(scene.installer_runs(), 1);
}

#[test]
fn exit_0_with_nothing_installed_is_a_failure() {
    let scene = Scene::new();
    scene.stand_in("mode", "nothing\n");
    let finished = scene.boots();
    assert_abandoned(&scene, &finished, 1, "installer.nothing_installed", "host");
    assert_quotes(&scene, "Success! Nothing to do.");
    assert!(evidence(&scene).contains("replicated-operator: missing"), "{}", evidence(&scene));
}

#[test]
fn installer_that_declines_this_docker_is_told_from_one_that_failed() {
    let scene = Scene::new();
    scene.write_settings("[install]\narguments = [\"no-proxy\", \"no-public-address\", \"skip-preflights\"]");
    let finished = scene.boots();
    assert_abandoned(&scene, &finished, 1, "installer.nothing_installed", "config");
    assert!(
        evidence(&scene).contains("reason: This installer does not support Docker"),
        "{}",
        evidence(&scene)
    );
    finished.assert_says("Add no-docker to install.arguments");
}

#[test]
#[ignore = "slow: 30 s"]
fn installer_that_leaves_one_container_out_has_not_installed() {
    let scene = Scene::new();
    scene.stand_in("mode", "missing-one\n");
    let finished = scene.boots();
    assert_abandoned(&scene, &finished, 1, "installer.incomplete", "host");
    assert!(evidence(&scene).contains("container: replicated-operator: missing"), "{}", evidence(&scene));
    assert!(!evidence(&scene).contains("replicated-ui:"), "{}", evidence(&scene));
    assert_conf_is_closed(&scene);
}

#[test]
fn replicated_conf_is_closed_again_after_an_installer_that_failed_half_way() {
    let scene = Scene::new();
    let opened = scene.world.path("/tmp/opened").display().to_string();
    let conf = scene.world.path(CONF).display().to_string();
    // Until it has been seen open: the agent closes it while the installer runs, too.
    let open = format!(
        "until [ \"$(stat -c %a '{conf}' | tee '{opened}')\" = 644 ]; do command chmod 0644 '{conf}'; done"
    );
    let script = format!("#!/bin/bash\n{open}\nexit 3\n");
    scene.world.write(INSTALLER, script);
    scene.lock("");
    let finished = scene.boots();
    assert_abandoned(&scene, &finished, 1, "installer.exit", "host");
    assert_eq!(scene.world.read("/tmp/opened"), "644\n", "it was open for a moment");
    assert_conf_is_closed(&scene);
}

#[test]
fn replicated_conf_is_closed_again_after_a_good_installer() {
    let scene = Scene::new();
    // The stand-in opens the file and closes nothing: what is seen at the end is the agent's work.
    assert!(scene.world.read(INSTALLER).contains("chmod a+r \"$conf\""));
    scene.boots().assert_code(0);
    assert_conf_is_closed(&scene);
}

#[test]
fn endless_installer_is_killed_with_all_it_started() {
    let scene = Scene::new();
    scene.stand_in("mode", "loop\n");
    scene.write_settings("[install]\ndeadline = \"4s\"");
    let mut boot = scene.boot().spawn();
    boot.wait_for_line("Waiting for the daemon...", SOON);
    let agent = boot.pid().to_string();
    let others = || {
        let mut found = processes_of(scene.world.root());
        found.retain(|process| process.split(' ').next() != Some(agent.as_str()));
        found
    };
    assert!(others().len() >= 2, "the installer and its child are seen while they run: {:?}", others());
    let finished = boot.finish(SOON);
    assert_eq!(others(), Vec::<String>::new(), "{finished}");
    assert_abandoned(&scene, &finished, 3, "installer.deadline", "host");
    assert_quotes(&scene, "Waiting for the daemon...");
    assert_conf_is_closed(&scene);
}

#[test]
fn installer_that_asks_for_the_address_for_ever_is_explained() {
    let scene = Scene::new();
    // What the real one prints where it finds no address and nobody answers, which this agent never lets happen.
    let question =
        "printf 'Please choose one of the following network interfaces:\\nEnter desired number (0-0): \\n'";
    scene.world.write(INSTALLER, format!("#!/bin/bash\nwhile :; do {question}; done\n"));
    scene.lock("");
    scene.write_settings("[install]\ndeadline = \"3s\"");
    let finished = scene.boots();
    assert_abandoned(&scene, &finished, 3, "installer.deadline", "config");
    finished.assert_says("kept asking");
    assert!(finished.stderr.len() < 400_000, "2 MB a second are not passed on: {}", finished.stderr.len());
    assert_eq!(processes_of(scene.world.root()), Vec::<String>::new());
}

#[test]
fn empty_address_in_the_bundle_never_reaches_the_installer() {
    let scene = Scene::new();
    scene.put("replicated.conf", REPLICATED.replacen('{', "{\n  \"LocalAddress\": \"\",", 1));
    scene.boots().assert_code(0);
    let runs = scene.world.read("/var/lib/replicated/stand-in/runs");
    assert!(runs.contains(&format!("Z local-address={ADDRESS} ")), "{runs}");
}

#[test]
fn address_among_the_settings_arguments_is_refused_and_the_group_is_told() {
    let scene = Scene::new();
    for argument in ["local-address=", "private_address=10.0.9.9"] {
        scene.write_settings(&format!("[install]\narguments = [\"{argument}\", \"no-docker\"]"));
        scene.boots().assert_code(2).assert_says("install.arguments").assert_says(argument);
    }
    // The group decides once; the second boot finds that it has.
    assert_eq!((scene.completions(), scene.installer_runs()), (vec!["ABANDON".to_owned()], 0));
}

#[test]
fn installer_that_does_not_know_an_argument_is_explained() {
    let scene = Scene::new();
    scene.write_settings("[install]\narguments = [\"no-docker\", \"no-public-adress\"]");
    let finished = scene.boots();
    assert_abandoned(&scene, &finished, 1, "installer.exit", "config");
    assert_quotes(&scene, "Error: unknown parameter \"no-public-adress\"");
    finished.assert_says("Correct install.arguments");
}

#[test]
fn box_without_an_installer_says_so() {
    let scene = Scene::new();
    fs::remove_file(scene.world.path(INSTALLER)).unwrap();
    let finished = scene.boots();
    assert_abandoned(&scene, &finished, 1, "installer.missing", "config");
    finished.assert_says("agent bake");
}

#[test]
fn installer_that_is_not_the_pinned_one_is_never_run() {
    for (lock_is_right, settings) in [(false, ""), (true, "[install]\nsha256 = \"WRONG\"")] {
        let scene = Scene::new();
        let (right, wrong) = (checksum(&scene.world.path(INSTALLER)), "0".repeat(64));
        if !lock_is_right {
            scene.world.write(LOCK, scene.world.read(LOCK).replace(&right, &wrong));
        }
        scene.write_settings(&settings.replace("WRONG", &wrong));
        let finished = scene.boots();
        assert_abandoned(&scene, &finished, 1, "installer.checksum", "config");
        let evidence = evidence(&scene);
        assert!(evidence.contains(&format!("expected SHA-256: {wrong}")), "{evidence}");
        assert!(evidence.contains(&format!("found SHA-256: {right}")), "{evidence}");
        assert_eq!(scene.installer_runs(), 0);
    }
}

#[test]
fn what_a_url_gives_instead_of_the_script_is_never_run() {
    for (status, body, kind, words) in [
        ("400 Bad Request", "touch MARKER", "installer.download", "touch "),
        ("200 OK", "touch MARKER\n", "installer.not_a_script", "does not start with #!"),
        ("200 OK", "<!DOCTYPE html>\n<html>$(touch MARKER)</html>", "installer.not_a_script", "HTML"),
        ("404 Not Found", "#!/bin/bash\ntouch MARKER\n", "installer.download", "404"),
    ] {
        let scene = Scene::new();
        let marker = scene.world.path("/tmp/marker");
        let url = serve(status, body.replace("MARKER", marker.to_str().unwrap()));
        scene.write_settings(&format!("[install]\nurl = \"{url}\""));
        let finished = scene.boots();
        assert_abandoned(&scene, &finished, 1, kind, "config");
        finished.assert_says(words).assert_says(&url);
        assert!(!marker.exists(), "{body} was run");
        assert_eq!(scene.installer_runs(), 0);
    }
}

#[test]
fn script_from_a_url_runs_when_it_is_the_right_one() {
    for is_right in [false, true] {
        let scene = Scene::new();
        let sum = if is_right { checksum(&scene.world.path(INSTALLER)) } else { "0".repeat(64) };
        let url = serve("200 OK", scene.world.read(INSTALLER));
        fs::remove_file(scene.world.path(INSTALLER)).unwrap();
        scene.write_settings(&format!("[install]\nurl = \"{url}\"\nsha256 = \"{sum}\""));
        let finished = scene.boots();
        if is_right {
            finished.assert_code(0).assert_silent_about("installer.unverified");
        } else {
            assert_abandoned(&scene, &finished, 1, "installer.checksum", "config");
        }
        assert_eq!(scene.installer_runs(), usize::from(is_right));
    }
}

#[test]
fn script_from_a_url_without_a_checksum_runs_with_a_warning() {
    let scene = Scene::new();
    let _internet = scene.without_lock();
    let url = serve("200 OK", scene.world.read(INSTALLER));
    fs::remove_file(scene.world.path(INSTALLER)).unwrap();
    scene.write_settings(&format!("[install]\nurl = \"{url}\""));
    scene.boots().assert_code(0).assert_says("installer.unverified");
    assert!(warnings(&scene).contains(&"installer.unverified".to_owned()), "{:?}", warnings(&scene));
}

#[test]
fn server_of_the_installer_that_is_down_is_waited_for() {
    let scene = Scene::new();
    let url = format!("http://127.0.0.1:{}/docker", parts::free_port());
    scene.write_settings(&format!("[install]\nurl = \"{url}\"\nwait = \"2s\""));
    let mut boot = scene.boot().spawn();
    boot.wait_for_line("install    waiting", SOON);
    boot.wait_for_line("held:", SOON);
    assert_eq!(scene.record()["cause"]["kind"], "installer.download");
    assert_eq!(scene.completions(), Vec::<String>::new(), "a replacement would fail the same way");
}

#[test]
fn fifty_megabytes_of_output_are_survived() {
    let scene = Scene::new();
    scene.stand_in("mode", "noise\n");
    let mut boot = scene.boot().spawn();
    let mut peak = 0;
    while !boot.has_ended() {
        // The kernel keeps the peak, so the last look before the end is enough.
        peak = peak_memory(boot.pid()).unwrap_or(peak);
        thread::sleep(Duration::from_millis(20));
    }
    let finished = boot.finish(SOON);
    finished.assert_code(0).assert_says("lines left out");
    assert!(finished.stderr.len() < 400_000, "{} bytes were passed on", finished.stderr.len());
    assert!((1_000..60_000).contains(&peak), "the agent needed {peak} kB");
    assert!(scene.world.read("/var/lib/boot-agent/boot.json").len() < 100_000);
}

/// `VmHWM` in kB; `None` when the process is gone.
fn peak_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A password with what URLs and shells encode, and its forms.
const PASSWORD: &str = "c@nary/p%ss:w rd&";
const PASSWORD_FORMS: [&str; 3] =
    [PASSWORD, "c%40nary%2Fp%25ss%3Aw%20rd%26", "c%40nary%2fp%25ss%3aw%20rd%26"];

/// No form of the password is in what the boot said or left below its own directory, and the installer has printed them.
#[track_caller]
fn assert_nothing_leaked(scene: &Scene, said: &str) {
    assert!(
        said.contains("install    | Using DaemonAuthenticationPassword "),
        "the leak is not seen:\n{said}"
    );
    assert!(said.contains("install    | curl https://admin:"), "{said}");
    let record = scene.world.read("/var/lib/boot-agent/boot.json");
    for form in PASSWORD_FORMS {
        for (place, text) in [("output", said), ("boot.json", record.as_str())] {
            assert!(!text.contains(form), "{form} is in {place}:\n{text}");
        }
    }
}

#[test]
fn console_password_in_the_output_is_scrubbed() {
    let scene = Scene::new();
    scene.put("replicated.conf", REPLICATED.replace("console-password-of-the-test", PASSWORD));
    scene.stand_in("mode", "leak\n");
    let finished = scene.boot().arg("-v").run(SOON);
    finished.assert_code(0);
    assert!(scene.world.read(CONF).contains(PASSWORD));
    assert_nothing_leaked(&scene, &finished.to_string());
    assert!(detail(&scene, "install").contains("containers are running"));
}

#[test]
fn console_password_in_the_last_lines_of_a_failure_is_scrubbed() {
    let scene = Scene::new();
    scene.put("replicated.conf", REPLICATED.replace("console-password-of-the-test", PASSWORD));
    scene.stand_in("mode", "leak\n");
    let _internet = scene.without_lock();
    scene.engine.docker(&["rmi", "quay.io/replicated/replicated:stable-2.38.6"]);
    scene.write_settings(
        "[install]\narguments = [\"no-docker\", \"no-proxy\", \"no-public-address\", \"skip-pull\"]",
    );
    let finished = scene.boot().args(["-v", "--output", "json"]).run(SOON);
    assert_abandoned(&scene, &finished, 1, "installer.exit", "config");
    assert_quotes(&scene, "unknown shorthand flag: 'f' in -f");
    assert_nothing_leaked(&scene, &finished.to_string());
}
