//! What a boot left behind in its record, put as the questions that several tests ask.

use serde_json::Value;

use super::harness::agent::Finished;
use super::scene::Scene;

/// A boot that failed and told the group so: exit code, cause and class as given, one ABANDON and nothing else.
#[track_caller]
pub(crate) fn assert_abandoned(scene: &Scene, finished: &Finished, code: i32, kind: &str, class: &str) {
    finished.assert_code(code);
    let record = scene.record();
    let cause = &record["cause"];
    assert_eq!((&cause["kind"], &cause["class"]), (&kind.into(), &class.into()), "{cause:#}\n{finished}");
    assert_eq!(record["outcome"], "abandoned", "{finished}");
    assert_eq!(scene.completions(), ["ABANDON"]);
    assert!(!cause["next_step"].as_str().unwrap().is_empty());
    finished.assert_says(&format!("[{kind}, {class}"));
}

/// Every fact of the last boot's cause, a line each: `name: value`.
pub(crate) fn evidence(scene: &Scene) -> String {
    let record = scene.record();
    let facts = record["cause"]["evidence"].as_array().cloned().unwrap_or_default();
    let line =
        |fact: &Value| format!("{}: {}\n", fact["name"].as_str().unwrap(), fact["value"].as_str().unwrap());
    facts.iter().map(line).collect()
}

/// The kinds of cause that a stage of the last boot waited for, in order.
pub(crate) fn waits(scene: &Scene, stage: &str) -> Vec<String> {
    let stage = stage_record(scene, stage);
    let waits = stage["waits"].as_array().cloned().unwrap_or_default();
    waits.iter().map(|wait| wait["cause"]["kind"].as_str().unwrap().to_owned()).collect()
}

/// What a stage of the last boot said of its result.
pub(crate) fn detail(scene: &Scene, stage: &str) -> String {
    stage_record(scene, stage)["detail"].as_str().unwrap_or_default().to_owned()
}

/// The kinds of the last boot's warnings.
pub(crate) fn warnings(scene: &Scene) -> Vec<String> {
    let record = scene.record();
    let warnings = record["warnings"].as_array().cloned().unwrap_or_default();
    warnings.iter().map(|warning| warning["kind"].as_str().unwrap().to_owned()).collect()
}

fn stage_record(scene: &Scene, name: &str) -> Value {
    let record = scene.record();
    let stages = record["stages"].as_array().unwrap().iter();
    stages.rev().find(|stage| stage["name"] == name).cloned().unwrap_or_default()
}
