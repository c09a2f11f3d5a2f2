use super::*;

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn container(name: &str, state: &str) -> Container {
    Container {
        id: String::new(),
        name: name.to_owned(),
        image: String::new(),
        image_id: String::new(),
        state: state.to_owned(),
        status: format!("{state} just now"),
        labels: Default::default(),
        health: None,
        exit_code: None,
    }
}

#[test]
fn the_address_is_this_instances_whatever_the_settings_say() {
    let settings = strings(&["no-proxy", "local_address=", "private-address=10.0.0.9", "release-sequence=7"]);
    assert_eq!(
        arguments(Ipv4Addr::new(10, 0, 0, 7), &settings, true, false),
        ["local-address=10.0.0.7", "no-proxy", "release-sequence=7"]
    );
    let pulls = arguments(Ipv4Addr::new(10, 0, 0, 7), &strings(&["no-proxy"]), false, true);
    assert_eq!(pulls, ["local-address=10.0.0.7", "no-proxy", "skip-pull", "airgap"]);
    assert_eq!(arguments(Ipv4Addr::LOCALHOST, &strings(&["skip_pull", "airgap"]), false, true).len(), 3);
}

#[test]
fn three_containers_must_run_unless_no_operator_is_wanted() {
    let containers = [container("replicated", "running"), container("replicated-ui", "running")];
    assert!(running(&containers, &pins::expected_containers(&strings(&["no_operator"]))).is_ok());
    let all = pins::expected_containers(&strings(&["no-docker"]));
    assert_eq!(running(&containers, &all).unwrap_err().kind, Kind::ReplicatedContainerMissing);
    let restarting = [container("replicated", "restarting")];
    let cause = running(&restarting, &all[..1]).unwrap_err();
    assert_eq!(cause.kind, Kind::ReplicatedContainerDown);
    assert_eq!(cause.evidence[0].value, "replicated: restarting just now");
}

/// A boot is spawned beside its heartbeats, which only what may move between threads can be.
#[test]
fn an_installation_can_be_spawned() {
    fn spawnable<T: Send>(_: T) {}
    let engine = Engine::connect(&Root::default(), None).unwrap();
    let script = Script { path: "/nonexistent".into(), sha256: String::new() };
    let mut on_line = |_: &str| {};
    let goal = Goal::new(&[], None);
    let secrets = Secrets::default();
    let job = Job {
        script: &script,
        arguments: &[],
        guard: None,
        goal: &goal,
        closed: "/".as_ref(),
        deadline: Duration::ZERO,
        secrets: &secrets,
    };
    spawnable(install(&engine, &job, &mut on_line));
    spawnable(crate::replicated::app::app_status(&engine));
    let plan = crate::docker::images::Plan::default();
    let pull = crate::settings::OnMissing::Pull;
    spawnable(crate::docker::images::apply(&engine, &plan, pull, &|_| {}));
}

#[test]
fn replicated_conf_is_closed_again_and_left_alone_if_closed() {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::new(directory.path());
    let access = Access { mode: 0o640, owner: None };
    assert!(!restore_access(&root, access).unwrap());
    fs::create_dir(root.path("/etc")).unwrap();
    fs::write(root.path(REPLICATED_CONF), "{}").unwrap();
    fs::set_permissions(root.path(REPLICATED_CONF), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(restore_access(&root, access).unwrap());
    assert_eq!(fs::metadata(root.path(REPLICATED_CONF)).unwrap().mode() & 0o7777, 0o640);
    assert!(!restore_access(&root, access).unwrap());
}
