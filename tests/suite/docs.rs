//! The transcripts in README.md and docs/: each command shown is run, and must print what is shown.
//!
//! A transcript is a code block below `<!-- transcript: SCENE -->`; its first line is the command. `just docs` rewrites them.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use regex_lite::Regex;

use super::harness::agent::{Agent, Finished};
use super::harness::dns;
use super::harness::parts;
use super::scene::{SOON, Scene, databases};

const MARK: &str = "<!-- transcript: ";

const CUSTOMIZATIONS: &str = "/etc/circle-installation-customizations";

/// What differs between two runs, and what is shown instead.
const VARIABLE: &[(&str, &str)] = &[
    (r"unix://\S+/docker\.sock", "unix:///var/run/docker.sock"),
    (r"/\S+/boot-agent-engine-\w+/data", "/var/lib/docker"),
    (r" \(\d[\d.]* m?s\)", ""),
    (r"checks in \d[\d.]* m?s", "checks in 0.6 s"),
    (r"(answered by \S+) in \d[\d.]* m?s\b", "$1 in 3 ms"),
    (r"within \d+ ms", "within 5000 ms"),
    (r"[\d.]+ [GM]iB of [\d.]+ [GM]iB available", "12.1 GiB of 15.4 GiB available"),
    (r"[\d.]+ [GM]iB of [\d.]+ [GM]iB free", "61.3 GiB of 96.7 GiB free"),
    (r"\d+ of \d+ inodes free", "6243088 of 6553600 inodes free"),
    (r"(source\.customizations +)\d+ bytes", "${1}785 bytes"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| UTC)", "2026-01-15T09:30:00Z"),
    (r"[A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d\.\d{3}", "Jan 15 09:29:58.377"),
    (r"PostgreSQL (\d+)\.\d+ \([^)]*\)", "PostgreSQL $1.6"),
    (r"\b2\d\.\d+\.\d+\S* responds", "20.10.24 responds"),
];

fn as_shown(scene: &Scene, nobody: Ipv4Addr, finished: &Finished) -> String {
    let (mongo, postgres) = databases();
    let mut text = finished.stdout.clone();
    for (own, shown) in [
        (scene.world.root().display().to_string(), ""),
        (scene.bucket.clone(), "ha-bucket"),
        (format!("127.0.0.1:{}", mongo.port()), "10.0.3.7:27017"),
        (format!("127.0.0.1:{}", postgres.port()), "10.0.3.8:5432"),
        (format!("db.internal:{}", mongo.port()), "db.internal:27017"),
        (format!("db.internal:{}", postgres.port()), "db.internal:5432"),
        (format!("127.0.0.1:{}", scene.health_port), "127.0.0.1:80"),
        (dns::server().to_string(), "10.0.0.2"),
        (nobody.to_string(), "10.0.0.2"),
    ] {
        text = text.replace(&own, shown);
    }
    for (pattern, shown) in VARIABLE {
        text = Regex::new(pattern).unwrap().replace_all(&text, *shown).into_owned();
    }
    let lines = text.lines().map(|line| format!("{}\n", line.trim_end()));
    lines.collect::<String>().trim_end().to_owned() + "\n"
}

/// Puts the booted box into the state of a transcript.
fn set(scene: &Scene, nobody: Ipv4Addr, state: &str) {
    let good =
        super::scene::good_bundle().into_iter().find(|(name, _)| CUSTOMIZATIONS.ends_with(name)).unwrap().1;
    let (customizations, server) = match state {
        "healthy" => (good, dns::server()),
        "wrong-password" => (
            good.replace(
                "POSTGRES_MAIN_URI='postgres://circle:circle-password",
                "POSTGRES_MAIN_URI='postgres://circle:another",
            ),
            dns::server(),
        ),
        "dead-dns" => (good.replace("127.0.0.1", "db.internal"), nobody),
        other => panic!("no scene {other}"),
    };
    // The mode stays; the content alone changes.
    fs::write(scene.world.path(CUSTOMIZATIONS), customizations).unwrap();
    scene.world.write("/etc/resolv.conf", format!("nameserver {server}\n"));
}

fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(parts::source("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> = docs.chain([parts::source("README.md")]).collect();
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    pages.sort();
    pages
}

#[test]
fn docs_transcripts_are_what_the_program_prints() {
    let scene = Scene::new();
    scene.boots().assert_code(0);
    scene.world.write("/proc/meminfo", "MemTotal: 16147000 kB\nMemAvailable: 12687000 kB\n");
    let nobody = dns::nobody();
    let (mut count, mut outdated) = (0, Vec::new());
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let mut parts = text.split(MARK);
        let mut current = parts.next().unwrap().to_owned();
        for part in parts {
            let (state, rest) = part.split_once(" -->\n```\n").expect("a code block below the mark");
            let (shown, rest) = rest.split_once("```\n").expect("the block's end");
            let command =
                shown.lines().next().and_then(|line| line.strip_prefix("$ agent ")).expect("a command");
            set(&scene, nobody, state);
            let finished = Agent::new(&scene.world).args(command.split(' ')).run(SOON);
            current += &format!(
                "{MARK}{state} -->\n```\n$ agent {command}\n{}```\n{rest}",
                as_shown(&scene, nobody, &finished)
            );
            count += 1;
        }
        if current != text {
            if std::env::var_os("REGENERATE").is_some() {
                fs::write(&page, &current).unwrap();
            } else {
                let differs = current.lines().zip(text.lines()).find(|(now, then)| now != then);
                outdated.push(format!("{}: {differs:#?}", page.display()));
            }
        }
    }
    assert!(count >= 4, "{count} transcripts");
    assert!(outdated.is_empty(), "out of date; regenerate with: just docs\n{}", outdated.join("\n"));
}
