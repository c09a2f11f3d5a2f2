//! Output of the Docker engine: about itself, its containers and their logs.

use futures_util::future::join_all;
use serde_json::json;

use super::section::{Found, Section};
use super::tail::Tail;
use crate::cause::Cause;
use crate::docker::engine::{Container, Engine, Info};
use crate::files::Root;

/// How many of a container's last lines are taken.
const LINES: usize = 1000;

/// How many bytes they may have.
const BYTES: usize = 256 * 1024;

/// How many containers' logs are collected; a services box runs about forty.
const MOST: usize = 100;

const INFO: (&str, &str) = ("docker/engine.json", "docker info");
const CONTAINERS: (&str, &str) = ("docker/containers.json", "docker ps --all");

/// What came of it, and where the engine keeps its data.
pub(super) struct EngineFiles {
    pub(super) pieces: Vec<Section>,
    pub(super) info: Option<Info>,
}

/// Collects everything concurrently, with the engine's own timeouts.
pub(super) async fn ask(root: &Root) -> EngineFiles {
    let docker_host = std::env::var("DOCKER_HOST").ok();
    let engine = match Engine::connect(root, docker_host.as_deref()) {
        Ok(engine) => engine,
        Err(cause) => {
            let gaps =
                [INFO, CONTAINERS].map(|(name, source)| Section::new(name, source, Err(because(&cause))));
            return EngineFiles { pieces: gaps.into(), info: None };
        }
    };
    let (info, mut pieces) = tokio::join!(engine.info(), containers(&engine));
    let found = info.as_ref().map(|info| described(info, &engine)).map_err(because);
    pieces.insert(0, Section::new(INFO.0, INFO.1, found));
    EngineFiles { pieces, info: info.ok() }
}

/// The reason in one line, with what the engine said.
fn because(cause: &Cause) -> String {
    cause.to_string()
}

fn described(info: &Info, engine: &Engine) -> Found {
    Found::json(json!({
        "address": engine.address(),
        "version": info.version,
        "storage_driver": info.storage_driver,
        "root_directory": info.root_directory.display().to_string(),
        "warnings": info.warnings,
    }))
}

async fn containers(engine: &Engine) -> Vec<Section> {
    let mut listed = match engine.containers().await {
        Ok(listed) => listed,
        Err(cause) => {
            let logs = Section::new("containers/*.log", "docker logs", Err(because(&cause)));
            return vec![Section::new(CONTAINERS.0, CONTAINERS.1, Err(because(&cause))), logs];
        }
    };
    listed.sort_by(|one, other| (!one.is_running(), &one.name).cmp(&(!other.is_running(), &other.name)));
    let list =
        Found::json(json!({ "version": 1, "containers": listed.iter().map(state).collect::<Vec<_>>() }));
    let mut pieces = vec![Section::new(CONTAINERS.0, CONTAINERS.1, Ok(list))];
    pieces.extend(join_all(listed.iter().take(MOST).map(|container| log(engine, container))).await);
    for left_out in listed.iter().skip(MOST) {
        let why = format!("there are more than {MOST} containers");
        pieces.push(Section::new(log_name(left_out), log_source(left_out), Err(why)));
    }
    pieces
}

fn state(container: &Container) -> serde_json::Value {
    json!({
        "id": container.id,
        "name": container.name,
        "image": container.image,
        "state": container.state,
        "status": container.status,
        "health": container.health,
        "exit_code": container.exit_code,
    })
}

fn log_name(container: &Container) -> String {
    let name = if container.name.is_empty() { &container.id } else { &container.name };
    format!("containers/{name}.log")
}

fn log_source(container: &Container) -> String {
    format!("docker logs --tail {LINES} {}", container.name)
}

async fn log(engine: &Engine, container: &Container) -> Section {
    let mut tail = Tail::new(BYTES);
    // One more than wanted shows whether there are more.
    let read = engine.read_log(&container.id, LINES + 1, |piece| tail.push(piece)).await;
    if tail.lines() > LINES {
        tail.began_late();
    }
    let (text, is_cut) = tail.finish();
    let found = match read {
        Err(cause) if text.is_empty() => Err(because(&cause)),
        Err(cause) => Ok(Found::text(text).cut(Some(format!("incomplete: {}", because(&cause))))),
        Ok(()) => {
            let why = is_cut.then(|| format!("the last {LINES} lines, at most {BYTES} bytes"));
            Ok(Found::text(text).cut(why))
        }
    };
    Section::new(log_name(container), log_source(container), found)
}
