//! Databases that are away when a box boots: shown as a wait with its cause, and no reason to replace the box at once.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::aftermath::{assert_abandoned, evidence, waits};
use super::harness::postgres::Postgres;
use super::scene::{self, SOON, Scene};

/// A cause has to be seen within ten seconds of the stage's start; a busy machine is given some more.
const CAUSE: Duration = Duration::from_secs(90);

/// A scene with a PostgreSQL of its own.
fn scene_with_postgres() -> (Scene, Postgres) {
    let (scene, postgres) = (Scene::new(), Postgres::start());
    let mongo = &scene::databases().0;
    let addresses = scene::customizations(|name| mongo.uri(name), &postgres.uri());
    scene.put("circle-installation-customizations", addresses);
    (scene, postgres)
}

/// A port that takes no further connection: the queue of its listener is full, so the kernel drops what comes, as a
/// security group does.
struct BlackHole {
    listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl BlackHole {
    fn dig(port: u16) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let listener = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            // The server that had the port a moment ago has left connections that linger.
            socket.set_reuseaddr(true).unwrap();
            socket.bind(address).unwrap();
            socket.listen(1).unwrap().into_std().unwrap()
        });
        let mut queued = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
            queued.push(stream);
            assert!(queued.len() < 100, "the queue has no end");
        }
        Self { listener, _queued: queued }
    }

    /// From now on the port refuses, and another server may have it.
    fn fill(self) {
        drop(self.listener);
    }
}

#[test]
fn database_that_refuses_is_waited_for() {
    let (scene, mut postgres) = scene_with_postgres();
    postgres.stop();
    let mut boot = scene.boot().spawn();
    let line = boot.wait_for_line("tcp.refused", CAUSE);
    assert!(line.contains(" databases  waiting"), "{line}");
    assert!(line.contains(&format!("127.0.0.1:{}", postgres.port())), "{line}");
    assert!(line.contains("postgres.main") && line.contains("external"), "{line}");
    assert!(scene.completions().is_empty(), "nothing is decided while it waits");
    postgres.resume();
    boot.finish(SOON).assert_code(0);
    assert_eq!(waits(&scene, "databases")[0], "tcp.refused");
    assert_eq!(scene.completions(), ["CONTINUE"]);
}

#[test]
fn database_behind_a_black_hole_is_waited_for() {
    let (scene, mut postgres) = scene_with_postgres();
    postgres.stop();
    let hole = BlackHole::dig(postgres.port());
    let mut boot = scene.boot().spawn();
    let line = boot.wait_for_line("tcp.timeout", CAUSE);
    assert!(line.contains(" databases  waiting") && line.contains("security group"), "{line}");
    hole.fill();
    postgres.resume();
    boot.finish(SOON).assert_code(0);
    assert_eq!(waits(&scene, "databases")[0], "tcp.timeout");
    assert_eq!(scene.completions(), ["CONTINUE"]);
}

#[test]
fn database_that_stays_away_ends_the_boot_at_its_deadline() {
    let (scene, mut postgres) = scene_with_postgres();
    postgres.stop();
    scene.write_settings("[databases]\nwait = \"3s\"");
    let finished = scene.boots();
    assert_abandoned(&scene, &finished, 3, "tcp.refused", "external");
    assert!(scene.record()["cause"]["waited_seconds"].as_u64().unwrap() >= 3);
    assert!(evidence(&scene).contains("postgres.main"), "{}", evidence(&scene));
    assert_eq!((scene.stage("databases").as_str(), scene.installer_runs()), ("failed", 0));
}
