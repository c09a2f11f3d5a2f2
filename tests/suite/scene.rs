//! A whole stage for one boot: metadata service, group, bucket with a good bundle, engine, databases, installer; every
//! part good until the test spoils it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use stand_ins::{autoscaling, imds};

use super::harness::agent::{Agent, CommandContext, Finished};
use super::harness::dns;
use super::harness::engine::{self, EngineLease};
use super::harness::mongo::{Mongo, Options, Version};
use super::harness::parts;
use super::harness::postgres::Postgres;
use super::harness::registry::Registry;
use super::harness::s3::{self, S3Server};
use super::harness::shell;
use super::harness::vendor::{self, Vendor};

pub(crate) const INSTANCE: &str = "i-0a1b2c3d4e5f60718";
pub(crate) const ADDRESS: &str = "10.0.1.23";

/// How long a boot may take when nothing is wrong, on a machine that runs other tests too.
pub(crate) const SOON: Duration = Duration::from_secs(90);

/// The installer's own files, and what it is told: see `tests/stand_ins/replicated-install.sh`.
pub(crate) const STAND_IN: &str = "/var/lib/replicated/stand-in";
pub(crate) const INSTALLER: &str = "/usr/local/lib/boot-agent/replicated-install.sh";
pub(crate) const OPERATOR: &str = "/usr/local/lib/boot-agent/replicated-operator.sh";
pub(crate) const LOCK: &str = "/etc/boot-agent/images.lock";

/// From where the installer fetches the operator's script.
const OPERATOR_URL: &str = "https://get.replicated.com/operator?replicated_operator_tag=2.38.6";

/// The stages of a boot, in their order.
pub(crate) const STAGES: [&str; 10] = [
    "identity",
    "lifecycle",
    "fetch",
    "validate",
    "place",
    "databases",
    "images",
    "install",
    "ready",
    "report",
];

/// The four files in place.
pub(crate) const PLACED: [&str; 4] = [
    "/etc/settings.conf",
    "/etc/replicated.conf",
    "/etc/license.rli",
    "/etc/circle-installation-customizations",
];

/// Parts are public to the test, which spoils them and asks them what they saw.
pub(crate) struct Scene {
    pub(crate) world: CommandContext,
    pub(crate) imds: imds::Handle,
    pub(crate) auto_scaling: autoscaling::Handle,
    pub(crate) s3: &'static S3Server,
    pub(crate) bucket: String,
    pub(crate) engine: EngineLease,
    /// Where the app's frontend answers.
    pub(crate) health_port: u16,
}

/// Real databases that are good, shared by every test that does not spoil them.
pub(crate) fn databases() -> &'static (Mongo, Postgres) {
    static DATABASES: OnceLock<(Mongo, Postgres)> = OnceLock::new();
    DATABASES.get_or_init(|| (Options::new(Version::V6_0).start(), Postgres::start()))
}

impl Scene {
    /// Everything is good, and the group is AWS's default one.
    pub(crate) fn new() -> Self {
        Self::with_group(autoscaling::Config::default())
    }

    /// The group, its hooks and its faults are the test's.
    pub(crate) fn with_group(group: autoscaling::Config) -> Self {
        let imds = imds::start(imds::Config::default()).unwrap();
        let auto_scaling = autoscaling::start(group).unwrap();
        let engine = engine::lease();
        let s3 = s3::moto();
        let world = CommandContext::new()
            .with_imds(imds.url())
            .with_auto_scaling(auto_scaling.url())
            .with_s3(s3.url())
            .with_docker(engine.docker_host());
        let bucket = s3.bucket();
        let health_port = parts::free_port();
        let scene = Scene { world, imds, auto_scaling, s3, bucket, engine, health_port };
        for (name, content) in good_bundle() {
            scene.put(name, content);
        }
        scene.world.write("/etc/resolv.conf", format!("nameserver {}\n", dns::server()));
        scene.install_installer(|script| script);
        scene.lock("");
        scene.stand_in("port", &health_port.to_string());
        scene.write_settings("");
        scene
    }

    /// Puts the stand-ins where the AMI has the pinned scripts. The agent gives them no environment of the test's, so the
    /// root stands in the second line of the installer, and `edit` may change the rest.
    pub(crate) fn install_installer(&self, edit: impl Fn(String) -> String) {
        let script = fs::read_to_string(parts::source("tests/stand_ins/replicated-install.sh")).unwrap();
        let (shebang, rest) = script.split_once('\n').unwrap();
        let root = self.world.root().display();
        let docker = self.engine.docker_host();
        let script = format!("{shebang}\nexport STAND_IN_ROOT='{root}' DOCKER_HOST='{docker}'\n{rest}");
        self.world.write(INSTALLER, edit(script));
        self.world.write(OPERATOR, vendor::operator_script());
        for script in [INSTALLER, OPERATOR] {
            fs::set_permissions(self.world.path(script), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// `images.lock` as `agent bake` would have written it: the scripts as they lie there, the images of Replicated as the
    /// engine has them, and `more` images.
    pub(crate) fn lock(&self, more: &str) {
        self.write_lock(OPERATOR_URL, more);
    }

    /// The same for an installer that fetches the operator's script from `url`.
    pub(crate) fn lock_operator_of(&self, url: &str) {
        self.write_lock(url, "");
    }

    fn write_lock(&self, operator_url: &str, more: &str) {
        let sum = |file: &str| {
            let said = shell::must(Command::new("sha256sum").arg(self.world.path(file)));
            said.split(' ').next().unwrap().to_owned()
        };
        let mut lock = format!(
            "version = 2\n[installer]\nurl = \"https://get.replicated.com/docker\"\nsha256 = \"{}\"\nversion = \"2.38.6\"\n\
             [installer.operator]\nurl = \"{operator_url}\"\nsha256 = \"{}\"\n",
            sum(INSTALLER),
            sum(OPERATOR)
        );
        let names = ["replicated", "replicated-ui", "replicated-operator"]
            .map(|name| format!("quay.io/replicated/{name}:stable-2.38.6"));
        let inspect = ["image", "inspect", "--format={{.Id}}", &names[0], &names[1], &names[2]];
        for (name, id) in names.iter().zip(self.engine.docker(&inspect).lines()) {
            lock.push_str(&format!("[[image]]\nreference = \"{name}\"\nid = \"{id}\"\n"));
        }
        self.world.write(LOCK, lock + more);
    }

    /// A box that was baked without a lock: its installer takes images and the operator's script from what stands for the
    /// internet, as long as that lives.
    pub(crate) fn without_lock(&self) -> Internet {
        for file in [LOCK, OPERATOR] {
            fs::remove_file(self.world.path(file)).unwrap();
        }
        let internet = Internet::start(&self.engine);
        self.install_installer(|script| internet.serves(script));
        fs::remove_file(self.world.path(OPERATOR)).unwrap();
        internet
    }

    /// What the installer's stand-in and the app are to do: `mode`, `timeline`, `frontend.log`.
    pub(crate) fn stand_in(&self, file: &str, content: &str) {
        self.world.write(&format!("{STAND_IN}/{file}"), content);
    }

    /// How often the installer was run.
    pub(crate) fn installer_runs(&self) -> usize {
        let runs = format!("{STAND_IN}/runs");
        if self.world.exists(&runs) { self.world.read(&runs).lines().count() } else { 0 }
    }

    /// One object of the bundle.
    pub(crate) fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        self.s3.put(&self.bucket, &format!("services-box/{name}"), content);
    }

    pub(crate) fn source(&self) -> String {
        format!("s3://{}/services-box", self.bucket)
    }

    /// `agent.toml`: what every test here needs, and the test's own lines, which begin with keys of no table.
    pub(crate) fn write_settings(&self, own: &str) {
        let health = format!("http://127.0.0.1:{}/health-check", self.health_port);
        self.world.agent_toml(&format!(
            "{own}\n[app]\nhealth_urls = [\"{health}\"]\nsteady = \"1s\"\nwait = \"60s\"\n"
        ));
    }

    /// `agent boot SOURCE`, about to be run.
    pub(crate) fn boot(&self) -> Agent {
        Agent::new(&self.world).args(["boot", &self.source()])
    }

    /// A boot from start to end.
    pub(crate) fn boots(&self) -> Finished {
        self.boot().run(SOON)
    }

    /// `boot.json`.
    pub(crate) fn record(&self) -> Value {
        serde_json::from_str(&self.world.read("/var/lib/boot-agent/boot.json")).unwrap()
    }

    /// How a stage of the last boot ended.
    pub(crate) fn stage(&self, name: &str) -> String {
        let record = self.record();
        let stages = record["stages"].as_array().unwrap().iter();
        let found = stages.rev().find(|stage| stage["name"] == name);
        found.map_or("absent", |stage| stage["outcome"].as_str().unwrap()).to_owned()
    }

    /// Waits until the record says that a stage stands so.
    pub(crate) fn wait_for_stage(&self, name: &str, outcome: &str, within: Duration) {
        let asked = Instant::now();
        while self.stage(name) != outcome {
            assert!(asked.elapsed() < within, "stage {name} is {}, not {outcome}", self.stage(name));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The results with which lifecycle actions were completed, in order, accepted or not.
    pub(crate) fn completions(&self) -> Vec<String> {
        let calls = self.auto_scaling.calls_of("CompleteLifecycleAction");
        calls.iter().map(|call| call.call.parameter("LifecycleActionResult").to_owned()).collect()
    }

    /// The instance's lifecycle state.
    pub(crate) fn state(&self) -> String {
        self.auto_scaling.state(INSTANCE).unwrap()
    }

    /// Whether none of the four files is in place.
    pub(crate) fn nothing_is_placed(&self) -> bool {
        PLACED.iter().all(|path| !self.world.exists(path))
    }
}

/// The registry and the server of scripts that an installer asks where nothing is pinned.
pub(crate) struct Internet {
    pub(crate) registry: Registry,
    pub(crate) vendor: Vendor,
}

impl Internet {
    fn start(engine: &EngineLease) -> Self {
        let internet = Self { registry: Registry::start(), vendor: Vendor::start() };
        for name in ["replicated", "replicated-ui", "replicated-operator"] {
            let image = format!("quay.io/replicated/{name}:stable-2.38.6");
            internet.registry.push(engine, &image, &format!("replicated/{name}:stable-2.38.6"));
        }
        internet
    }

    /// The installer's script, asking these.
    pub(crate) fn serves(&self, script: String) -> String {
        let registry = format!("export STAND_IN_REGISTRY='{}' STAND_IN_ROOT=", self.registry.address());
        script
            .replace("export STAND_IN_ROOT='", &format!("{registry}'"))
            .replace("\"https://get.replicated.com\"", &format!("\"{}\"", self.vendor.origin()))
    }
}

/// A bundle with nothing to find fault with, addressed to the shared databases.
pub(crate) fn good_bundle() -> [(&'static str, String); 4] {
    let (mongo, postgres) = databases();
    [
        ("settings.conf", SETTINGS.to_owned()),
        ("replicated.conf", REPLICATED.to_owned()),
        ("license.rli", "a licence as the vendor sent it\n".to_owned()),
        (
            "circle-installation-customizations",
            customizations(|database| mongo.uri(database), &postgres.uri()),
        ),
    ]
}

/// The variables that name the databases.
pub(crate) fn customizations(mongo: impl Fn(&str) -> String, postgres: &str) -> String {
    let mut text = String::from("# made by the test\n");
    for (name, database) in [
        ("MAIN", "circle_ghe"),
        ("ACTION_LOGS", "circle_ghe"),
        ("BUILD_STATE", "build_state_dev_ghe"),
        ("CONTAINERS", "containers_dev_ghe"),
        ("REMOTE_CONTAINERS", "remote_containers_dev_ghe"),
    ] {
        text.push_str(&format!("export CIRCLE_SECRETS_MONGODB_{name}_URI='{}'\n", mongo(database)));
    }
    text.push_str(&format!("export CIRCLE_SECRETS_POSTGRES_MAIN_URI='{postgres}'\n"));
    text
}

pub(crate) const SETTINGS: &str = r#"{
  "hostname": { "value": "circleci.example.com" },
  "allow_cluster": { "value": "1" },
  "secret_passphrase": { "value": "passphrase-of-the-test" },
  "ghe_type": { "value": "github_type_public" },
  "ghe_client_id": { "value": "0123456789abcdef0123" },
  "ghe_client_secret": { "value": "client-secret-of-the-test" },
  "storage_backend": { "value": "storage_backend_s3" },
  "aws_region": { "value": "us-east-1" },
  "s3_bucket": { "value": "circleci-storage" },
  "sqs_queue_url": { "value": "https://sqs.us-east-1.amazonaws.com/123456789012/circleci" },
  "license_agreement": { "value": "license_agreement_agree" }
}
"#;

pub(crate) const REPLICATED: &str = r#"{
  "DaemonAuthenticationType": "password",
  "DaemonAuthenticationPassword": "console-password-of-the-test",
  "TlsBootstrapType": "self-signed",
  "TlsBootstrapHostname": "circleci.example.com",
  "LogLevel": "debug",
  "LicenseFileLocation": "/etc/license.rli",
  "ImportSettingsFrom": "/etc/settings.conf",
  "BypassPreflightChecks": true
}
"#;
