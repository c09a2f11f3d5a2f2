//! What a person gets who types something wrong, or asks for help, or only wants to know.

use std::process::Command;
use std::time::Duration;

use super::front::Front;
use super::harness::agent::{Agent, CommandContext};
use super::harness::shell;

const A_MOMENT: Duration = Duration::from_secs(90);

#[test]
fn wrong_usage_and_wrong_settings_exit_with_2_and_touch_nothing() {
    let source = "s3://bucket/services-box";
    for (settings, arguments, words) in [
        ("", &["boot", "--forse", source][..], "--force"),
        ("", &["bot"], "boot"),
        ("", &[], "Usage"),
        ("", &["--output", "yaml", "status"], "json"),
        ("", &["--verbose", "--quiet", "status"], "cannot be used with"),
        ("", &["boot"], "source.missing"),
        ("", &["boot", "ftp://bucket"], "source.invalid"),
        ("", &["boot", "s3:/bucket/x"], "source.invalid"),
        ("", &["boot", source, "s3://other/x"], "Unexpected argument"),
        ("", &["check", "s3://b"], "source.invalid"),
        ("", &["boot", "--on-failure", "explode", source], "settings.invalid"),
        ("", &["boot", "--deadline", "soon", source], "settings.invalid"),
        ("on_failur = \"hold\"", &["boot", source], "Did you mean on_failure?"),
        ("[databases]\nwiat = \"1h\"", &["boot", source], "Did you mean databases.wait?"),
        ("[databases]\nwiat = \"1h\"", &["check", "."], "settings.unknown_key"),
        ("[databases]\nwait = 3600", &["boot", source], "settings.type"),
        ("[databases]\nwait = \"an hour\"", &["boot", source], "settings.invalid"),
        ("on_failure = ", &["boot", source], "settings.syntax"),
        ("[[extra]]\nobject = \"../x\"\npath = \"/etc/x\"", &["boot", source], "settings.invalid"),
        ("[[extra]]\nobject = \"x\"\npath = \"/etc/../x\"", &["boot", source], "settings.invalid"),
    ] {
        let world = CommandContext::new();
        world.agent_toml(settings);
        let before = world.files();
        let run = Agent::new(&world).args(arguments).env("AWS_EC2_METADATA_DISABLED", "true").run(A_MOMENT);
        run.assert_code(2).assert_says(words);
        assert_eq!(world.files(), before, "{arguments:?} touched something\n{run}");
    }
}

#[test]
fn a_wrong_variable_is_named_with_the_right_one() {
    let world = CommandContext::new();
    let run = Agent::new(&world).args(["boot", "s3://bucket/x"]).env("BOOT_AGENT_DATABASES_WIAT", "1h");
    run.run(A_MOMENT).assert_code(2).assert_says("Did you mean BOOT_AGENT_DATABASES_WAIT?");
}

#[test]
fn a_failure_in_json_is_alone_on_standard_output_with_the_same_exit_code() {
    let world = CommandContext::new();
    let run = Agent::new(&world).args(["--output", "json", "boot"]).run(A_MOMENT);
    run.assert_code(2);
    let json: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&json["version"], &json["cause"]["kind"]), (&1.into(), &"source.missing".into()));
}

#[test]
fn the_source_of_the_settings_is_used_and_the_command_line_wins() {
    let front = Front::new();
    front.settings(&format!("source = \"{}\"", front.source()));
    let mut boot = Agent::new(&front.world).arg("boot").spawn();
    boot.wait_for_line("place      done", A_MOMENT);
    boot.kill();
    assert!(front.everything_is_placed());

    let front = Front::new();
    front.settings("source = \"s3://another-bucket/x\"");
    front.boots_until_placed();
}

/// cloud-init runs the script, and the kernel appends its path to the words of the first line.
#[test]
fn the_path_of_the_user_data_script_is_passed_over() {
    let front = Front::new();
    front.world.write("/var/lib/cloud/part-001", "#!/usr/bin/env -S agent boot s3://bucket/prefix\n");
    let script = front.world.path("/var/lib/cloud/part-001");
    let mut boot = front.boot().arg(script.display()).spawn();
    boot.wait_for_line("place      done", A_MOMENT);
    boot.kill();
    assert!(front.everything_is_placed());

    front.world.write("/tmp/no-script", "a file of another kind\n");
    let surplus = front.boot().arg(front.world.path("/tmp/no-script").display()).run(A_MOMENT);
    surplus.assert_code(2).assert_says("Unexpected argument");
}

#[test]
fn help_completions_and_the_manual_are_real() {
    let world = CommandContext::new();
    let say = |arguments: &[&str]| {
        let run = Agent::new(&world).args(arguments).run(A_MOMENT);
        run.assert_code(0);
        run.stdout
    };
    for command in ["boot", "check", "status", "completions", "man"] {
        assert!(say(&["--help"]).contains(&format!("  {command} ")), "{command} is not in the help");
        assert!(say(&[command, "--help"]).contains("Example"), "{command} has no example");
    }
    let completions = say(&["completions", "bash"]);
    world.write("/tmp/agent.bash", &completions);
    let path = world.path("/tmp/agent.bash");
    let offered = format!(
        "source {}; COMP_WORDS=(agent boot --dr) COMP_CWORD=2; _agent agent --dr boot; echo ${{COMPREPLY[@]}}",
        path.display()
    );
    assert_eq!(shell::must(Command::new("bash").args(["-c", &offered])), "--dry-run");
    for shell in ["zsh", "fish"] {
        assert!(say(&["completions", shell]).contains("dry-run"), "{shell}");
    }
    let manual = say(&["man"]);
    assert!(manual.contains(".TH agent 1") && manual.contains("boot"), "{manual}");
    assert_eq!(say(&["--version"]), concat!("agent ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn wrong_usage_is_json_where_json_was_asked_for() {
    let world = CommandContext::new();
    for (arguments, said, next) in [
        (&["--output", "json", "boot", "--forse"][..], "'--forse'", "--force"),
        (&["--output=json", "doctor"], "'doctor'", "`agent probe`"),
        (&["--output", "json", "status", "--plot"], "'--plot <FILE>'", "--help"),
        (&["--output", "json", "-v", "-q", "status"], "cannot be used with", "--help"),
    ] {
        let run = Agent::new(&world).args(arguments).run(A_MOMENT);
        run.assert_code(2);
        assert_eq!(run.stderr, "", "{run}");
        let json: serde_json::Value =
            serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"));
        let cause = &json["cause"];
        assert_eq!((&json["version"], &cause["kind"]), (&1.into(), &"usage.invalid".into()), "{json:#}");
        let text = |key: &str| cause[key].as_str().unwrap().to_owned();
        assert!(text("sentence").contains(said) && text("sentence").ends_with('.'), "{json:#}");
        assert!(text("next_step").contains(next), "{json:#}");
    }
}

#[test]
fn words_of_other_programs_get_a_hint() {
    let world = CommandContext::new();
    for (arguments, meant) in [
        (&["doctor"][..], "agent probe"),
        (&["version"], "agent --version"),
        (&["validate", "./bundle"], "agent check"),
        (&["logs"], "agent status"),
        (&["probe", "postgres"], "agent probe --only postgres"),
        (&["probe", "postgres://circle@db/circle"], "agent probe --uri"),
    ] {
        let run = Agent::new(&world).args(arguments).run(A_MOMENT);
        run.assert_code(2).assert_says(&format!("did you mean `{meant}"));
        run.assert_says("Usage: agent");
    }
}

#[test]
fn times_are_what_jq_reads() {
    let scene = super::scene::Scene::new();
    scene.boots().assert_code(0);
    let status = Agent::new(&scene.world).args(["status", "--output", "json"]).run(A_MOMENT);
    scene.world.write("/tmp/status.json", &status.assert_code(0).stdout);
    let ask = |filter: &str| {
        let file = scene.world.path("/tmp/status.json");
        shell::must(Command::new("jq").args(["--exit-status", "--compact-output", filter]).arg(file))
    };
    ask("[.stages[] | (.ended_at | fromdate) - (.started_at | fromdate)] | all(. >= 0)");
    ask("[.stages[] | (.ended_ms - .started_ms) / 1000 == .seconds] | all");
    ask("(.ended_at | fromdate) >= (.lifecycle.heartbeats[0] | fromdate)");
    assert_eq!(
        ask("[.instance.region, .instance.address, .lifecycle.group]"),
        "[\"us-east-1\",\"10.0.1.23\",\"services-box\"]"
    );
}
