//! What must not be said is not said, whoever gave it and in whichever way it is quoted; and whatever the secret, the
//! program's own data stays what it is.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::harness::agent::{Agent, CommandContext, Finished};
use super::harness::parts;
use super::scene::{INSTALLER, REPLICATED, SETTINGS, SOON, Scene, good_bundle};

const CONF: &str = "/etc/replicated.conf";

/// What is in no output; letters and digits alone, so that every encoding keeps it.
const CANARY: &str = "cAn4Ry7x";

/// An input that carries a secret: what it is, the settings, a variable, the command line.
type Row = (&'static str, &'static str, (&'static str, &'static str), &'static [&'static str]);

const NO: (&str, &str) = ("LANG", "C.UTF-8");
const BOOT: &[&str] = &["boot", "file:///bundle"];
const PROBE: &[&str] = &["probe"];

/// Each is quoted somewhere: by the refusal that complains about it, or by whoever fails to reach the address.
const INPUTS: [Row; 36] = [
    ("health URL with a password", "app.health_urls = [\"http://u:cAn4Ry7x@127.0.0.1:1/\"]", NO, PROBE),
    ("health URL with a token as user", "app.health_urls = [\"http://cAn4Ry7x@127.0.0.1:1/\"]", NO, PROBE),
    ("health URL with a token", "app.health_urls = [\"http://127.0.0.1:1/?token=cAn4Ry7x\"]", NO, PROBE),
    (
        "health URL with a signature",
        "app.health_urls = [\"http://127.0.0.1:1/?a=1&sig=cAn4Ry7x\"]",
        NO,
        PROBE,
    ),
    ("health URL that is none", "app.health_urls = [\"htp://u:cAn4Ry7x@127.0.0.1:1/\"]", NO, PROBE),
    ("health URL by the environment", "", ("BOOT_AGENT_APP_HEALTH_URLS", "htp://u:cAn4Ry7x@h/"), PROBE),
    ("installer's URL with a password", "install.url = \"https://u:cAn4Ry7x@127.0.0.1:1/\"", NO, PROBE),
    (
        "installer's URL with a broken password",
        "install.url = \"https://u:p/cAn4Ry7x@127.0.0.1:1/\"",
        NO,
        PROBE,
    ),
    ("installer's URL with a token", "install.url = \"https://127.0.0.1:1/?token=cAn4Ry7x\"", NO, BOOT),
    (
        "installer's URL, presigned",
        "install.url = \"ftp://127.0.0.1:1/?X-Amz-Signature=cAn4Ry7x\"",
        NO,
        PROBE,
    ),
    ("installer's URL by the environment", "", ("BOOT_AGENT_INSTALL_URL", "ftp://u:cAn4Ry7x@h/"), PROBE),
    ("installer's checksum with a token", "install.sha256 = \"https://h/?token=cAn4Ry7x\"", NO, PROBE),
    ("installer's arguments", "install.arguments = [\"local-address=http://u:cAn4Ry7x@h\"]", NO, PROBE),
    ("daemon token in the arguments", "install.arguments = [\"daemon-token=cAn4Ry7x\", 5]", NO, PROBE),
    ("place of the report", "report.upload = \"https://u:cAn4Ry7x@h/\"", NO, PROBE),
    (
        "place of the report, presigned",
        "report.upload = \"https://h/?X-Amz-Security-Token=cAn4Ry7x\"",
        NO,
        PROBE,
    ),
    ("place of the report with blanks", "report.upload = \"s3://u:cAn4Ry7x@ bucket\"", NO, PROBE),
    ("source with a password", "source = \"https://u:cAn4Ry7x@h/\"", NO, PROBE),
    ("source with a token", "source = \"http://h/?token=cAn4Ry7x\"", NO, PROBE),
    ("source as an argument", "", NO, &["boot", "https://u:cAn4Ry7x@h/"]),
    ("source of a check", "", NO, &["check", "https://u:cAn4Ry7x@h/?sig=cAn4Ry7x"]),
    ("one source too many", "", NO, &["boot", "s3://abc/d", "https://u:cAn4Ry7x@h/"]),
    ("duration", "deadline = \"https://u:cAn4Ry7x@h/\"", NO, PROBE),
    ("policy", "on_failure = \"https://u:cAn4Ry7x@h/\"", NO, PROBE),
    ("key that does not exist", "db_password = \"cAn4Ry7x\"", NO, PROBE),
    ("wrong type", "deadline = { password = \"cAn4Ry7x\" }", NO, PROBE),
    ("broken file", "x_password = \"cAn4Ry7x\" y", NO, PROBE),
    ("flag that does not exist", "", NO, &["probe", "--password=cAn4Ry7x"]),
    ("flag with its value apart", "", NO, &["probe", "--wait", "https://u:cAn4Ry7x@h/"]),
    ("URI", "", NO, &["probe", "--uri", "postgres://u:cAn4Ry7x@127.0.0.1:1/d"]),
    ("URI that is none", "", NO, &["probe", "--uri", "postgres:/u:cAn4Ry7x@127.0.0.1:1/d"]),
    (
        "endpoint of S3",
        "",
        ("AWS_ENDPOINT_URL_S3", "http://u:cAn4Ry7x@127.0.0.1:1/"),
        &["check", "s3://abc/d"],
    ),
    ("endpoint that is none", "", ("AWS_ENDPOINT_URL_S3", "htp:/u:cAn4Ry7x@h"), &["check", "s3://abc/d"]),
    (
        "endpoint of the metadata",
        "",
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://u:cAn4Ry7x@127.0.0.1:1/"),
        BOOT,
    ),
    ("address of the engine", "", ("DOCKER_HOST", "tcp://u:cAn4Ry7x@127.0.0.1:1"), PROBE),
    ("address of the engine that is none", "", ("DOCKER_HOST", "ssh://u:cAn4Ry7x@h/?token=cAn4Ry7x"), PROBE),
];

#[test]
fn nothing_that_a_person_typed_is_said_with_its_secret() {
    let refused = "http://127.0.0.1:1/";
    for (what, settings, (name, value), arguments) in INPUTS {
        let world = CommandContext::new().with_imds(refused).with_docker("tcp://127.0.0.1:1");
        world.agent_toml(&format!("{settings}\nidentity.wait = \"0s\"\nlifecycle.wait = \"0s\"\n"));
        for output in ["text", "json"] {
            let agent = Agent::new(&world).args(arguments).args(["--output", output, "-v"]);
            let finished = agent.env("AWS_REGION", "us-east-1").env(name, value).run(SOON);
            let said = format!("{}{}", finished.stdout, finished.stderr);
            assert!(!said.contains(CANARY), "{what}: {said}");
            assert!(finished.code != Some(0), "{what} fails, and so is quoted: {said}");
        }
        let left = world.files();
        for (file, content) in left.iter().filter(|(file, _)| !file.ends_with("agent.toml")) {
            assert!(!String::from_utf8_lossy(content).contains(CANARY), "{what}: {}", file.display());
        }
    }
}

/// A server on the loopback that gives one answer, however often it is asked.
fn serve(answer: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    port
}

fn http(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// A box with a bundle in place, whose app answers its health check so.
fn with_health(body: &str) -> Finished {
    let world = CommandContext::new().with_imds("http://127.0.0.1:1/").with_docker("tcp://127.0.0.1:1");
    for (name, content) in good_bundle() {
        world.write(&format!("/etc/{name}"), content);
    }
    world.write("/etc/settings.conf", SETTINGS.replace("passphrase-of-the-test", CANARY));
    let port = serve(http("500 Internal Server Error", body));
    world.agent_toml(&format!("app.health_urls = [\"http://127.0.0.1:{port}/\"]"));
    Agent::new(&world).args(["probe", "--only", "app.health", "-v"]).run(SOON)
}

#[test]
fn an_answer_is_scrubbed_before_it_is_cut() {
    for filler in [100, 188, 192, 195, 199] {
        let finished = with_health(&format!("{}{CANARY} and more of it", "x".repeat(filler)));
        let said = format!("{}{}", finished.stdout, finished.stderr);
        assert!(said.contains("xxxx"), "it is quoted: {said}");
        assert!(!said.contains(&CANARY[..4]), "{filler}: {said}");
    }
}

#[test]
fn what_others_say_does_nothing_to_a_terminal() {
    let finished = with_health("a\u{1b}[2Jb\rc\u{9b}31md\u{202e}e\u{8}f\u{200b}");
    let said = format!("{}{}", finished.stdout, finished.stderr);
    assert!(said.contains("a\\u{1b}[2Jb"), "{said}");
    let acts = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202e}' | '\u{200b}');
    assert!(!said.contains(acts), "{said:?}");
}

#[test]
fn a_word_of_the_program_as_a_password_changes_no_data() {
    let probe = |password: &str| {
        let uri = format!("postgres://circle:{password}@127.0.0.1:1/circle");
        let world = CommandContext::new();
        let finished = Agent::new(&world).args(["probe", "--output", "json", "--uri", &uri]).run(SOON);
        serde_json::from_str::<Value>(&finished.stdout).unwrap()
    };
    for password in ["refused", "failed", "redacted", "postgres", "a", "tcp.refused"] {
        let json = probe(password);
        assert_eq!(json["root_causes"][0]["cause"]["kind"], "tcp.refused", "{password}");
        assert!(json["checks"].as_array().unwrap().iter().any(|it| it["outcome"] == "failed"), "{password}");
        assert!(!json.to_string().contains("[[redacted]"), "{json}");
    }
    let directory = parts::directory("bundle");
    for (name, content) in good_bundle() {
        fs::write(directory.path().join(name), content).unwrap();
    }
    let settings = SETTINGS.replace("passphrase-of-the-test", "error");
    fs::write(directory.path().join("settings.conf"), settings.replacen("hostname", "hostnam", 1)).unwrap();
    let world = CommandContext::new();
    let checks = |output: &str| {
        let agent =
            Agent::new(&world).args(["check", &directory.path().display().to_string(), "--output", output]);
        agent.run(SOON).stdout
    };
    assert!(checks("text").contains("settings.conf: error: "), "{}", checks("text"));
    let json: Value = serde_json::from_str(&checks("json")).unwrap();
    assert!(json["findings"].as_array().unwrap().iter().any(|it| it["severity"] == "error"), "{json}");
}

#[test]
fn a_second_boot_knows_that_it_is_installed_whatever_the_password() {
    for password in ["failed", "in_service", "a"] {
        let scene = Scene::new();
        scene.put("replicated.conf", REPLICATED.replace("console-password-of-the-test", password));
        scene.boots().assert_code(0);
        let first = scene.record();
        assert_eq!(first["outcome"], "in_service", "{password}");
        scene.boots().assert_code(0);
        let second = scene.record();
        assert_eq!(second["instance"], first["instance"], "{password}");
        assert_eq!(scene.installer_runs(), 1, "{password}");
        let status = Agent::new(&scene.world).args(["status", "--output", "json"]).run(SOON);
        let status: Value = serde_json::from_str(&status.stdout).unwrap();
        assert_eq!(status["outcome"], "in_service", "{password}");
    }
}

/// The mode of replicated.conf, watched for a moment after the end of a boot.
fn assert_stays_closed(scene: &Scene, how: &str) {
    let until = Instant::now() + Duration::from_millis(700);
    // What opens the file in a way of its own is closed behind within a fifth of a second.
    thread::sleep(Duration::from_millis(if how.contains("chmod(1)") { 0 } else { 600 }));
    loop {
        let mode = fs::metadata(scene.world.path(CONF)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o640, "{how}");
        if Instant::now() > until {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn replicated_conf_is_closed_whoever_is_killed_in_the_install_stage() {
    // The first as the real installer does it; the second for whatever another one may do.
    let ways = [
        ("chmod(1)", "chmod a+r 'CONF'; chmod 0644 'CONF'"),
        ("chmod(2)", "\"$(type -P chmod)\" 0644 'CONF'"),
    ];
    for (way, opens) in ways {
        let scene = Scene::new();
        let opens = opens.replace("CONF", &scene.world.path(CONF).display().to_string());
        let script =
            format!("#!/bin/bash\nset -e\n{opens}\necho opened\nsleep 0.3\n{opens}\nexec sleep 60\n");
        scene.world.write(INSTALLER, script);
        scene.lock("");
        scene.write_settings("[install]\ndeadline = \"2s\"");
        for (end, signal) in
            [("SIGKILL", Signal::SIGKILL), ("SIGTERM", Signal::SIGTERM)].into_iter().cycle().take(8)
        {
            let mut boot = scene.boot().spawn();
            boot.wait_for_line("opened", SOON);
            boot.signal(signal);
            let _ = boot.finish(SOON);
            assert_stays_closed(&scene, &format!("{way}, {end}"));
        }
        scene.boots().assert_says("had not finished after 2 s");
        assert_stays_closed(&scene, &format!("{way}, deadline"));
    }
}
