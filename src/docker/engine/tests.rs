use super::*;

#[test]
fn the_address_is_the_environments_or_the_socket_under_the_root() {
    let root = Root::new("/tmp/box");
    let address = |host: Option<&str>| Engine::connect(&root, host).map(|engine| engine.address());
    assert_eq!(address(None).unwrap(), "unix:///tmp/box/var/run/docker.sock");
    assert_eq!(address(Some("")).unwrap(), "unix:///tmp/box/var/run/docker.sock");
    assert_eq!(address(Some("unix:///run/d.sock")).unwrap(), "unix:///run/d.sock");
    assert_eq!(address(Some("tcp://127.0.0.1:2375")).unwrap(), "tcp://127.0.0.1:2375");
    for wrong in ["ssh://host", "/run/d.sock", "unix://", "tcp://"] {
        assert_eq!(address(Some(wrong)).unwrap_err().kind, Kind::DockerAddress, "{wrong}");
    }
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_told_from_one_that_is_down_or_silent() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("d.sock");
    let engine = Engine::connect(&Root::default(), Some(&format!("unix://{}", path.display()))).unwrap();
    assert_eq!(engine.ping().await.unwrap_err().kind, Kind::DockerSocketMissing);

    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let hasty = Engine { patience: Duration::from_millis(200), ..engine.clone() };
    let cause = hasty.ping().await.unwrap_err();
    assert_eq!(cause.kind, Kind::DockerSilent, "{cause:?}");

    drop(listener);
    let cause = engine.ping().await.unwrap_err();
    assert_eq!(cause.kind, Kind::DockerDown, "{cause:?}");
}
