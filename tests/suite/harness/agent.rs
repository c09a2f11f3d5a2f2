//! The program as a person or systemd runs it: a world around it, arguments, and what it said and did.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::process::{self, bound};
use super::{parts, schema, shell};

/// A machine as the agent sees it: a root directory and the addresses of what surrounds it.
pub(crate) struct CommandContext {
    root: TempDir,
    environment: BTreeMap<String, String>,
}

impl CommandContext {
    /// A blank instance: empty `/etc` but for a docker group of a real id, nothing that answers.
    pub(crate) fn new() -> Self {
        let root = parts::directory("root");
        for directory in ["etc/boot-agent", "var/lib", "usr/local/bin", "tmp", "run"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        let world = Self { root, environment: BTreeMap::new() };
        world.write("/etc/group", "root:x:0:\ndocker:x:997:\n");
        world.write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
        world
    }

    /// The IMDS stand-in.
    pub(crate) fn with_imds(self, url: impl Display) -> Self {
        self.with_env("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
    }

    pub(crate) fn with_s3(self, url: impl Display) -> Self {
        self.with_env("AWS_ENDPOINT_URL_S3", url)
    }

    pub(crate) fn with_auto_scaling(self, url: impl Display) -> Self {
        self.with_env("AWS_ENDPOINT_URL_AUTO_SCALING", url)
    }

    /// An engine's address, `unix://…`.
    pub(crate) fn with_docker(self, address: impl Display) -> Self {
        self.with_env("DOCKER_HOST", address)
    }

    /// A variable of every agent that runs in this world.
    pub(crate) fn with_env(mut self, name: &str, value: impl Display) -> Self {
        self.environment.insert(name.to_owned(), value.to_string());
        self
    }

    /// Writes `/etc/boot-agent/agent.toml`.
    pub(crate) fn agent_toml(&self, settings: &str) {
        self.write("/etc/boot-agent/agent.toml", settings);
    }

    /// The variables that its agents see.
    pub(crate) fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Where `path`, absolute as the agent says it, really lies.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// `rw-r-----` and so on are for people; this is `0o640`.
    pub(crate) fn mode(&self, path: &str) -> u32 {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(self.path(path)).unwrap().permissions().mode() & 0o7777
    }

    /// Every file below the root with its content, for a comparison of before and after.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let listed = shell::must(
            std::process::Command::new("find").args([".", "-type", "f"]).current_dir(self.root()),
        );
        let with_content = |name: &str| (PathBuf::from(name), fs::read(self.root().join(name)).unwrap());
        listed.lines().map(with_content).collect()
    }
}

/// The program, about to be run.
pub(crate) struct Agent {
    program: PathBuf,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    input: Option<String>,
}

impl Agent {
    /// The program in `world`: `--root` is given, and of this process's environment it sees PATH alone.
    pub(crate) fn new(world: &CommandContext) -> Self {
        let mut environment = world.environment.clone();
        environment.insert("PATH".to_owned(), std::env::var("PATH").unwrap());
        environment.insert("HOME".to_owned(), world.path("/root").display().to_string());
        environment.insert("LANG".to_owned(), "C.UTF-8".to_owned());
        Self {
            program: PathBuf::from(env!("CARGO_BIN_EXE_agent")),
            arguments: vec!["--root".to_owned(), world.root().display().to_string()],
            environment,
            input: None,
        }
    }

    pub(crate) fn arg(mut self, argument: impl Display) -> Self {
        self.arguments.push(argument.to_string());
        self
    }

    pub(crate) fn args<T: Display>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.to_string()));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Display) -> Self {
        self.environment.insert(name.to_owned(), value.to_string());
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.environment.remove(name);
        self
    }

    /// The same, started by `program` with `arguments`, which must end in becoming what follows them.
    pub(crate) fn under<T: Display>(mut self, program: &str, arguments: impl IntoIterator<Item = T>) -> Self {
        let before = arguments.into_iter().map(|argument| argument.to_string());
        let agent = std::mem::replace(&mut self.program, PathBuf::from(program));
        self.arguments = before.chain([agent.display().to_string()]).chain(self.arguments).collect();
        self
    }

    /// What it is given on standard input, at most what a pipe holds.
    pub(crate) fn input(mut self, text: &str) -> Self {
        self.input = Some(text.to_owned());
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(self, within: Duration) -> Finished {
        self.spawn().finish(within)
    }

    /// Starts it, with nobody at its standard input unless something was given.
    pub(crate) fn spawn(self) -> Running {
        let mut command = bound(&self.program, Signal::SIGKILL);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(&self.environment)
            .stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = process::spawn(command);
        if let (Some(mut pipe), Some(text)) = (child.stdin.take(), &self.input) {
            // One that ends without reading closes it, which is no fault of the test.
            let _ = pipe.write_all(text.as_bytes());
        }
        let said = Arc::new(Said::default());
        let readers = vec![
            listen(child.stdout.take().unwrap(), Arc::clone(&said), Stream::Stdout),
            listen(child.stderr.take().unwrap(), Arc::clone(&said), Stream::Stderr),
        ];
        let wanted = json_of(&self.arguments);
        Running { child, said, readers, started: Instant::now(), wanted }
    }
}

/// The command that these arguments ask for JSON.
fn json_of(arguments: &[String]) -> Option<&'static str> {
    let asks = |argument: &String| argument == "json" || argument == "--output=json";
    let is_list_of_schema = arguments.iter().any(|argument| argument == "--schema");
    let known = ["boot", "probe", "check", "bake", "status"];
    let named = known.into_iter().find(|command| arguments.iter().any(|argument| argument == command));
    named.filter(|_| arguments.iter().any(asks) && !is_list_of_schema)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

#[derive(Default)]
struct Said {
    lines: Mutex<Vec<(Stream, String)>>,
    more: Condvar,
}

impl Said {
    fn of(&self, stream: Stream) -> String {
        let lines = self.lines.lock().unwrap();
        let mine = lines.iter().filter(|(its, _)| *its == stream);
        mine.map(|(_, line)| line.as_str()).collect()
    }

    fn all(&self) -> String {
        self.lines.lock().unwrap().iter().map(|(_, line)| line.as_str()).collect()
    }
}

fn listen(pipe: impl Read + Send + 'static, said: Arc<Said>, stream: Stream) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        loop {
            let mut line = Vec::new();
            match pipe.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) => {
                    let line = String::from_utf8_lossy(&line).into_owned();
                    said.lines.lock().unwrap().push((stream, line));
                    said.more.notify_all();
                }
            }
        }
    })
}

/// The program, running. Killed when dropped before its end.
pub(crate) struct Running {
    child: Child,
    said: Arc<Said>,
    readers: Vec<thread::JoinHandle<()>>,
    started: Instant,
    /// The command whose JSON it was asked for.
    wanted: Option<&'static str>,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The first line, on either stream and said before or after now, that contains `words`.
    ///
    /// # Panics
    /// With all it said when the line has not come `within` that time, or cannot come since the program has ended.
    pub(crate) fn wait_for_line(&mut self, words: &str, within: Duration) -> String {
        let deadline = Instant::now() + within;
        let mut ended = false;
        loop {
            let lines = self.said.lines.lock().unwrap();
            if let Some((_, line)) = lines.iter().find(|(_, line)| line.contains(words)) {
                return line.trim_end().to_owned();
            }
            let slice = Duration::from_millis(50);
            let (lines, _) = self.said.more.wait_timeout(lines, slice).unwrap();
            drop(lines);
            assert!(!ended, "ended without saying {words:?}:\n{}", self.said.all());
            assert!(Instant::now() < deadline, "has not said {words:?} in {within:?}:\n{}", self.said.all());
            // What it said last may still be in the pipe, so one more look is taken when both ends are closed.
            ended = self.has_ended() && self.readers.iter().all(thread::JoinHandle::is_finished);
        }
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What it has said so far, both streams in order of arrival.
    pub(crate) fn so_far(&self) -> String {
        self.said.all()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        signal::kill(pid, signal).unwrap();
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(mut self) -> Finished {
        self.child.kill().unwrap();
        self.finish(Duration::from_secs(60))
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// With all it said when it is still running after `within`; it is killed then.
    pub(crate) fn finish(mut self, within: Duration) -> Finished {
        let Some(status) = process::wait(&mut self.child, within) else {
            let said = self.said.all();
            panic!("still running after {within:?}:\n{said}");
        };
        let took = self.started.elapsed();
        // A child of its own that it left behind may hold the pipes open; what it says is no longer the program's.
        let patience = Instant::now() + Duration::from_secs(10);
        while Instant::now() < patience && !self.readers.iter().all(thread::JoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(5));
        }
        let finished = Finished {
            code: status.code(),
            stdout: self.said.of(Stream::Stdout),
            stderr: self.said.of(Stream::Stderr),
            took,
        };
        if let (Some(command), Ok(json)) = (self.wanted, serde_json::from_str(&finished.stdout)) {
            schema::assert_documented(command, &json);
        }
        finished
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a run came to. Its `Display` is for the message of an assertion.
pub(crate) struct Finished {
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Finished {
    /// # Panics
    /// With the output, unless it exited with `code`.
    #[track_caller]
    pub(crate) fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "exit code\n{self}");
        self
    }

    /// # Panics
    /// With the output, unless one of the streams contains `words`.
    #[track_caller]
    pub(crate) fn assert_says(&self, words: &str) -> &Self {
        assert!(self.says(words), "does not say {words:?}\n{self}");
        self
    }

    /// # Panics
    /// With the output, if one of the streams contains `words`.
    #[track_caller]
    pub(crate) fn assert_silent_about(&self, words: &str) -> &Self {
        assert!(!self.says(words), "says {words:?}\n{self}");
        self
    }

    pub(crate) fn says(&self, words: &str) -> bool {
        self.stdout.contains(words) || self.stderr.contains(words)
    }
}

impl Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or_else(|| "none (a signal)".to_owned(), |code| code.to_string());
        writeln!(f, "exit code {code} after {:?}", self.took)?;
        writeln!(f, "--- stdout\n{}--- stderr\n{}---", self.stdout, self.stderr)
    }
}
