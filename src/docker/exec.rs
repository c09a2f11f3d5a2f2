//! Commands inside a running container.

use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use futures_util::StreamExt;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::engine::Engine;
use crate::cause::Cause;
use crate::kind::Kind;

/// How many bytes of the beginning of stdout and stderr are kept.
const OUTPUT_LIMIT: usize = 1024 * 1024;

/// Timeout for killing a command that did not finish.
const CLEAN_UP: Duration = Duration::from_secs(2);

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// Its exit code; 126 and 127 are the engine's own, for a command that cannot be executed and one that does not
    /// exist.
    pub exit_code: i64,
    /// What it wrote, cut at 1 MiB.
    pub stdout: String,
    /// What it complained of, cut at 1 MiB.
    pub stderr: String,
}

impl Engine {
    /// Runs a command in a running container and waits for it, at most until `deadline`.
    ///
    /// A command that has not finished by then, or whose future is dropped, is killed if it is on this machine: the
    /// engine would let it run, and a repeated query would fill the box with processes.
    ///
    /// # Errors
    /// As for [`Engine::ping`]; `docker.no_container`; `docker.not_running`; `docker.exec_timeout`. All of class host.
    pub async fn exec(
        &self,
        container: &str,
        command: &[&str],
        deadline: Duration,
    ) -> Result<Executed, Cause> {
        match self.container_runs(container).await? {
            Some(true) => {}
            Some(false) => return Err(not_running(container)),
            None => {
                return Err(Cause::host(
                    Kind::DockerNoContainer,
                    format!("The container {container} does not exist."),
                    "See the existing containers: docker ps -a.",
                )
                .with("container", container));
            }
        }
        let docker = self.client()?;
        let config = ExecConfig {
            cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..Default::default()
        };
        let output = self.client_for_output()?;
        let created =
            self.answer("prepare a command in a container", docker.create_exec(container, config)).await?;
        let mut guard = Guard {
            docker: docker.clone(),
            id: created.id.clone(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            armed: self.is_local(),
        };
        let running = async {
            let started = self
                .answer(
                    "run a command in a container",
                    output.start_exec(&created.id, None::<StartExecOptions>),
                )
                .await?;
            self.collect(started).await
        };
        let Ok(outputs) = tokio::time::timeout(deadline, running).await else {
            guard.end_now().await;
            return Err(Cause::host(
                Kind::DockerExecTimeout,
                format!(
                    "{} in the container {container} did not finish within {} s.",
                    command.join(" "),
                    deadline.as_secs()
                ),
                format!("See what the container is doing: docker logs --tail 50 {container}."),
            )
            .with("container", container));
        };
        let (stdout, stderr) = outputs?;
        let ended = self.answer("report how a command ended", docker.inspect_exec(&created.id)).await?;
        guard.armed = false;
        Ok(Executed { exit_code: ended.exit_code.unwrap_or(-1), stdout, stderr })
    }

    async fn collect(&self, started: StartExecResults) -> Result<(String, String), Cause> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        if let StartExecResults::Attached { mut output, input: _input } = started {
            while let Some(piece) = output.next().await {
                let piece = piece.map_err(|error| self.failed("relay the output of a command", &error))?;
                let kept = if matches!(piece, LogOutput::StdErr { .. }) { &mut stderr } else { &mut stdout };
                let room = OUTPUT_LIMIT.saturating_sub(kept.len());
                let bytes = piece.as_ref();
                kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
        }
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok((text(stdout), text(stderr)))
    }
}

fn not_running(container: &str) -> Cause {
    Cause::host(
        Kind::DockerNotRunning,
        format!("The container {container} exists but is not running."),
        format!(
            "See how it ended: docker ps -a --filter name={container}; docker logs --tail 50 {container}."
        ),
    )
    .with("container", container)
}

/// Kills an abandoned command in a container.
struct Guard {
    docker: Docker,
    id: String,
    command: Vec<String>,
    armed: bool,
}

impl Guard {
    async fn end_now(mut self) {
        if std::mem::take(&mut self.armed) {
            end(&self.docker, &self.id, &self.command).await;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.armed
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (docker, id, command) =
                (self.docker.clone(), std::mem::take(&mut self.id), std::mem::take(&mut self.command));
            runtime.spawn(async move { end(&docker, &id, &command).await });
        }
    }
}

async fn end(docker: &Docker, id: &str, command: &[String]) {
    let Ok(Ok(found)) = tokio::time::timeout(CLEAN_UP, docker.inspect_exec(id)).await else {
        return;
    };
    if found.running == Some(true)
        && let Some(pid) = found.pid.and_then(|pid| i32::try_from(pid).ok())
        && runs(pid, command)
    {
        // It may have just exited, which is fine.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// Whether the process `pid` of this machine is the command: an engine in another PID namespace counts differently.
fn runs(pid: i32, command: &[String]) -> bool {
    if pid <= 1 {
        return false;
    }
    let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) else {
        return false;
    };
    let words: Vec<&[u8]> = line.strip_suffix(b"\0").unwrap_or(&line).split(|byte| *byte == 0).collect();
    // A script is shown with its interpreter in front.
    words.len() >= command.len()
        && words[words.len() - command.len() + 1..]
            .iter()
            .zip(&command[1..])
            .all(|(shown, asked)| *shown == asked.as_bytes())
        && words[words.len() - command.len()].ends_with(command[0].as_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_killed_only_if_it_is_the_command() {
        let mut child = std::process::Command::new("sleep").arg("300").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        // The child may still be this program for a moment, before it becomes sleep.
        while !runs(pid, &words("sleep 300")) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!runs(pid, &words("sleep 30")));
        assert!(!runs(pid, &words("replicatedctl app status")));
        assert!(!runs(1, &words("sleep 300")));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
