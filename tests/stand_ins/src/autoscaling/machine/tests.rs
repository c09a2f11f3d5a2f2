//! The machine, with a clock that the test turns.
#![allow(clippy::unwrap_used)]

use super::*;

const ID: &str = "i-1";

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn launched(hooks: Vec<Hook>) -> (Machine, Instant) {
    let start = Instant::now();
    let mut machine = Machine::new(hooks, Pacing { proceed: seconds(1), ..Pacing::default() });
    machine.launch(ID, "group", "us-east-1a", false, start);
    (machine, start)
}

fn state(machine: &mut Machine, now: Instant) -> String {
    machine.members(now).find(|member| member.id == ID).map_or("gone".into(), Member::state)
}

fn find(hook: &str) -> Find<'_> {
    Find { instance: Some(ID), hook, token: None }
}

#[test]
fn continue_goes_through_proceed_to_in_service() {
    let (mut machine, start) = launched(vec![Hook::launching("launch")]);
    assert_eq!(state(&mut machine, start), "Pending:Wait");
    machine.complete(&find("launch"), Outcome::Continue, start + seconds(5)).unwrap();
    assert_eq!(state(&mut machine, start + seconds(5)), "Pending:Proceed");
    assert_eq!(state(&mut machine, start + seconds(6)), "InService");
    assert_eq!(machine.complete(&find("launch"), Outcome::Continue, start + seconds(7)), Err(NotActive));
}

#[test]
fn abandon_terminates_and_fires_the_termination_hook() {
    let (mut machine, start) = launched(vec![Hook::launching("launch"), Hook::terminating("end")]);
    machine.complete(&find("launch"), Outcome::Abandon, start).unwrap();
    assert_eq!(state(&mut machine, start), "Terminating:Wait");
    machine.complete(&find("end"), Outcome::Abandon, start).unwrap();
    assert_eq!(state(&mut machine, start), "Terminating:Proceed");
}

#[test]
fn silence_ends_in_the_default_result() {
    let (mut machine, start) = launched(vec![Hook::launching("launch").timeout(seconds(30))]);
    assert_eq!(state(&mut machine, start + seconds(29)), "Pending:Wait");
    assert_eq!(state(&mut machine, start + seconds(30)), "Terminating");
    let hook = Hook { default_result: Outcome::Continue, ..Hook::launching("launch").timeout(seconds(30)) };
    let (mut machine, start) = launched(vec![hook]);
    assert_eq!(state(&mut machine, start + seconds(30)), "Pending:Proceed");
}

#[test]
fn heartbeats_reset_the_timer_up_to_the_limit() {
    let hook = Hook { global_timeout: Some(seconds(50)), ..Hook::launching("launch").timeout(seconds(30)) };
    let (mut machine, start) = launched(vec![hook]);
    machine.heartbeat(&find("launch"), start + seconds(20)).unwrap();
    assert_eq!(state(&mut machine, start + seconds(49)), "Pending:Wait");
    machine.heartbeat(&find("launch"), start + seconds(49)).unwrap();
    assert_eq!(state(&mut machine, start + seconds(50)), "Terminating");
    assert_eq!(machine.heartbeat(&find("launch"), start + seconds(51)), Err(NotActive));
}

#[test]
fn every_launch_hook_is_waited_for_and_one_abandon_is_enough() {
    let hooks = vec![Hook::launching("one"), Hook::launching("two")];
    let (mut machine, start) = launched(hooks.clone());
    machine.complete(&find("one"), Outcome::Continue, start).unwrap();
    assert_eq!(state(&mut machine, start), "Pending:Wait");
    machine.complete(&find("two"), Outcome::Continue, start).unwrap();
    assert_eq!(state(&mut machine, start), "Pending:Proceed");
    let (mut machine, start) = launched(hooks);
    machine.complete(&find("two"), Outcome::Abandon, start).unwrap();
    assert_eq!(state(&mut machine, start), "Terminating");
}

#[test]
fn the_warm_pool_has_its_own_names() {
    let start = Instant::now();
    let mut machine = Machine::new(vec![Hook::launching("launch")], Pacing::default());
    machine.launch(ID, "group", "us-east-1a", true, start);
    assert_eq!(state(&mut machine, start), "Warmed:Pending:Wait");
    machine.complete(&find("launch"), Outcome::Continue, start).unwrap();
    assert_eq!(state(&mut machine, start), "Warmed:Stopped");
    machine.place(ID, Stage::Pending, false, start);
    assert_eq!(state(&mut machine, start), "Pending:Wait");
}

#[test]
fn without_a_hook_nothing_waits() {
    let (mut machine, start) = launched(Vec::new());
    assert_eq!(state(&mut machine, start), "InService");
}

#[test]
fn the_limit_is_the_one_of_aws() {
    assert_eq!(Hook::launching("h").limit(), LONGEST_ACTION);
    assert_eq!(Hook::launching("h").timeout(seconds(30)).limit(), seconds(3000));
}

#[test]
fn a_wrong_token_is_not_active() {
    let (mut machine, start) = launched(vec![Hook::launching("launch")]);
    let wrong = Find { token: Some("no"), ..find("launch") };
    assert_eq!(machine.complete(&wrong, Outcome::Continue, start), Err(NotActive));
}
