use super::*;

#[test]
fn a_prepared_file_that_is_not_committed_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("etc/settings.conf");
    drop(Prepared::write(target.clone(), b"new", Access { mode: 0o640, owner: None }).unwrap());
    assert!(!target.exists());
    assert_eq!(fs::read_dir(directory.path().join("etc")).unwrap().count(), 0);
}

#[test]
fn of_many_files_all_are_prepared_or_none() {
    let directory = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..2 * SYNCED_AT_ONCE + 1).map(|number| format!("tree/{number}")).collect();
    let access = Access { mode: 0o640, owner: None };
    let mut wanted: Vec<_> =
        names.iter().map(|name| (directory.path().join(name), name.as_bytes(), access)).collect();
    commit_all(prepare_all(&wanted).unwrap()).unwrap();
    for (path, content, _) in &wanted {
        assert_eq!(fs::read(path).unwrap(), *content);
    }
    wanted.push((directory.path().join("tree/0/below-a-file"), b"", access));
    let cause = prepare_all(&wanted).unwrap_err();
    assert_eq!(cause.kind, Kind::HostFile);
    assert_eq!(fs::read_dir(directory.path().join("tree")).unwrap().count(), names.len());
}

#[test]
fn a_replaced_file_has_its_mode_and_overwrites_what_a_killed_run_left() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("license.rli");
    fs::write(directory.path().join(".license.rli.boot-agent-new"), b"torn").unwrap();
    replace(target.clone(), b"whole", Access { mode: 0o640, owner: None }).unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"whole");
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o7777, 0o640);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn when_one_of_many_cannot_be_placed_all_are_as_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let access = Access { mode: 0o640, owner: None };
    for old in ["old", "last"] {
        fs::write(path(old), "before").unwrap();
    }
    let wanted: Vec<_> = ["old", "new", "last"].map(|name| (path(name), b"after".as_slice(), access)).into();
    let prepared = prepare_all(&wanted).unwrap();
    // It has become a directory meanwhile.
    fs::remove_file(path("last")).unwrap();
    fs::create_dir(path("last")).unwrap();
    assert_eq!(commit_all(prepared).unwrap_err().kind, Kind::HostFile);
    assert_eq!(fs::read(path("old")).unwrap(), b"before");
    assert!(!path("new").exists());
    fs::remove_dir(path("last")).unwrap();

    fs::create_dir_all(path("directory")).unwrap();
    let mut wanted = wanted;
    wanted.push((path("directory"), b"after", access));
    assert_eq!(prepare_all(&wanted).unwrap_err().kind, Kind::HostFile);
    assert!(!fs::read_dir(directory.path()).unwrap().flatten().any(|it| it.file_name().len() > 10));
}

#[test]
fn only_trusted_files_decide() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.toml");
    fs::write(&path, "x").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
    assert_eq!(read_trusted(&path, 9).unwrap(), b"x");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let cause = read_trusted(&path, 9).unwrap_err().cause(&path);
    assert_eq!(cause.kind, Kind::HostUnsafeFile);
    assert!(cause.sentence.contains("0666"), "{cause}");
}

#[test]
fn only_a_regular_file_within_the_limit_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("file"), b"12345").unwrap();
    std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
    assert_eq!(read_bounded(&path("file"), 5).unwrap(), b"12345");
    assert_eq!(read_bounded(&path("link"), 5).unwrap(), b"12345");
    assert!(matches!(read_bounded(&path("file"), 4), Err(ReadError::TooLarge { size: 5, limit: 4 })));

    nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::create_dir(path("directory")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", path("zero")).unwrap();
    std::os::unix::fs::symlink("loop", path("loop")).unwrap();
    std::os::unix::fs::symlink("nowhere", path("dangling")).unwrap();
    for (name, expected) in [
        ("fifo", "NotRegular(\"a named pipe (FIFO)\")"),
        ("directory", "NotRegular(\"a directory\")"),
        ("socket", "NotRegular(\"a socket\")"),
        ("zero", "NotRegular(\"a character device\")"),
        ("dangling", "NotFound"),
        ("absent", "NotFound"),
        ("file/below", "NotFound"),
    ] {
        assert_eq!(format!("{:?}", read_bounded(&path(name), 5).unwrap_err()), expected, "{name}");
    }
    assert!(matches!(read_bounded(&path("loop"), 5), Err(ReadError::Io(_))));
    // Its reported size is 0.
    assert!(matches!(read_bounded(Path::new("/proc/self/status"), 5), Err(ReadError::TooLarge { .. })));
}

#[test]
fn groups_are_read_from_the_box_and_not_from_this_machine() {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::new(directory.path());
    assert_eq!(root.group_id("docker").unwrap(), None);
    fs::create_dir(root.path("/etc")).unwrap();
    fs::write(root.path("/etc/group"), "root:x:0:\ndocker:x:4321:a,b\n").unwrap();
    assert_eq!(root.group_id("docker").unwrap(), Some(4321));
    assert_eq!(root.group_id("dock").unwrap(), None);
}
