//! A stage for the first half of a boot: metadata service, group, bucket. There is no engine, and nothing listens at
//! the addresses of the databases, so that a good bundle is placed and the boot then waits.

use std::time::{Duration, Instant};

use serde_json::Value;
use stand_ins::{autoscaling, imds};

use super::harness::agent::{Agent, CommandContext, Finished};
use super::harness::s3::{self, S3Server};
use super::scene::{PLACED, REPLICATED, SETTINGS, customizations};

/// The names of the four files at the source, in the order of [`PLACED`].
pub(crate) const FILES: [&str; 4] =
    ["settings.conf", "replicated.conf", "license.rli", "circle-installation-customizations"];

/// How long the first half of a boot may take, on a machine that runs other tests too.
const SOON: Duration = Duration::from_secs(90);

/// A bundle with nothing to find fault with, addressed to nobody.
pub(crate) fn bundle() -> [(&'static str, String); 4] {
    let mongo = |database: &str| format!("mongodb://circle:pw@127.0.0.1:1/{database}");
    let customizations = customizations(mongo, "postgres://circle:pw@127.0.0.1:1/circle");
    let texts = [SETTINGS.to_owned(), REPLICATED.to_owned(), "a licence\n".to_owned(), customizations];
    let mut texts = texts.into_iter();
    FILES.map(|name| (name, texts.next().unwrap()))
}

pub(crate) struct Front<'s> {
    pub(crate) world: CommandContext,
    pub(crate) imds: imds::Handle,
    pub(crate) auto_scaling: autoscaling::Handle,
    pub(crate) s3: &'s S3Server,
    pub(crate) bucket: String,
}

impl Front<'static> {
    /// With a good bundle in the shared moto.
    pub(crate) fn new() -> Self {
        Self::before(s3::moto())
    }
}

impl<'s> Front<'s> {
    /// With a good bundle in that server.
    pub(crate) fn before(s3: &'s S3Server) -> Self {
        let imds = imds::start(imds::Config::default()).unwrap();
        let auto_scaling = autoscaling::start(autoscaling::Config::default()).unwrap();
        let world = CommandContext::new()
            .with_imds(imds.url())
            .with_auto_scaling(auto_scaling.url())
            .with_s3(s3.url())
            .with_docker("unix:///nowhere/docker.sock");
        let bucket = s3.bucket();
        for (name, content) in bundle() {
            s3.put(&bucket, &format!("services-box/{name}"), content);
        }
        Self { world, imds, auto_scaling, s3, bucket }
    }

    /// S3 is asked for at `url` instead.
    pub(crate) fn at(mut self, url: &str) -> Self {
        self.world = self.world.with_s3(url);
        self
    }

    pub(crate) fn source(&self) -> String {
        format!("s3://{}/services-box", self.bucket)
    }

    pub(crate) fn settings(&self, settings: &str) {
        self.world.agent_toml(settings);
    }

    /// `agent boot SOURCE`, about to be run.
    pub(crate) fn boot(&self) -> Agent {
        self.boot_from(&self.source())
    }

    pub(crate) fn boot_from(&self, source: &str) -> Agent {
        Agent::new(&self.world).args(["boot", source])
    }

    /// A boot to its end, which comes before the databases.
    pub(crate) fn boots(&self) -> Finished {
        self.boot().run(SOON)
    }

    /// A boot until its files are placed; what it said until then.
    pub(crate) fn boots_until_placed(&self) -> String {
        let mut boot = self.boot().spawn();
        boot.wait_for_line("place      done", SOON);
        // The record follows what is said within a fraction of a second.
        let asked = Instant::now();
        while !self.world.exists("/var/lib/boot-agent/boot.json") || self.stage("place")["outcome"] != "done"
        {
            assert!(asked.elapsed() < SOON, "{}", boot.so_far());
            std::thread::sleep(Duration::from_millis(10));
        }
        let finished = boot.kill();
        assert!(self.everything_is_placed(), "{finished}");
        finished.stderr
    }

    /// A boot that fails with this cause, places nothing, and is abandoned: the cause in the record.
    pub(crate) fn fails_with(&self, kind: &str, class: &str) -> Value {
        let finished = self.boots();
        finished.assert_code(1).assert_says(kind);
        let cause = self.record()["cause"].clone();
        assert_eq!((&cause["kind"], &cause["class"]), (&kind.into(), &class.into()), "{finished}");
        assert!(self.nothing_is_placed(), "{finished}");
        assert_eq!(self.completions(), ["ABANDON"], "{finished}");
        cause
    }

    /// `boot.json`.
    pub(crate) fn record(&self) -> Value {
        serde_json::from_str(&self.world.read("/var/lib/boot-agent/boot.json")).unwrap()
    }

    /// A stage of the last boot.
    pub(crate) fn stage(&self, name: &str) -> Value {
        let record = self.record();
        let mut stages = record["stages"].as_array().unwrap().iter();
        stages.find(|stage| stage["name"] == name).cloned().unwrap_or_default()
    }

    /// The results with which lifecycle actions were completed.
    pub(crate) fn completions(&self) -> Vec<String> {
        let calls = self.auto_scaling.calls_of("CompleteLifecycleAction");
        calls.iter().map(|call| call.call.parameter("LifecycleActionResult").to_owned()).collect()
    }

    pub(crate) fn nothing_is_placed(&self) -> bool {
        PLACED.iter().all(|path| !self.world.exists(path))
    }

    /// Whether the four are in place as they were written.
    pub(crate) fn everything_is_placed(&self) -> bool {
        let placed = |name: &str| self.world.read(&format!("/etc/{name}"));
        bundle().iter().all(|(name, content)| placed(name) == *content)
    }
}
