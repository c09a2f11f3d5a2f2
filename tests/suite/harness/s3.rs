//! S3: moto for what a bucket answers, s3s-fs where a wrong signature must be refused.

use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::process::{Server, bound};
use super::{parts, shell};

/// The account that every server here knows and that may do anything.
pub(crate) const ACCESS_KEY: &str = "AKIATESTTESTTESTTEST";
/// Its secret. No canary: tests about leaks bring their own.
pub(crate) const SECRET_KEY: &str = "test/secret+key";

/// Something that speaks S3 on the loopback.
pub(crate) struct S3Server {
    server: Server,
    directory: TempDir,
    port: u16,
}

/// The moto that all tests share; buckets keep them apart.
pub(crate) fn moto() -> &'static S3Server {
    static SHARED: OnceLock<S3Server> = OnceLock::new();
    SHARED.get_or_init(S3Server::moto)
}

impl S3Server {
    /// A moto of one's own, for a test that changes the server as a whole, as [`Self::enforce_iam`] does.
    pub(crate) fn moto() -> Self {
        let port = parts::free_port();
        let mut command = bound(parts::part("venv/bin/python"), Signal::SIGTERM);
        command
            .args(["-m", "moto.server", "--host", "127.0.0.1", "--port", &port.to_string()])
            // What moto itself asks of AWS libraries needs no real account.
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .env("AWS_EC2_METADATA_DISABLED", "true");
        Self::start("moto", command, parts::directory("moto"), port)
    }

    /// An s3s-fs, which knows [`ACCESS_KEY`] alone and verifies every signature.
    pub(crate) fn verifying() -> Self {
        let port = parts::free_port();
        let directory = parts::directory("s3s");
        let data = directory.path().join("data");
        fs::create_dir(&data).unwrap();
        let mut command = bound(parts::part("s3s/bin/s3s-fs"), Signal::SIGTERM);
        command
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .args(["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY])
            .arg(&data);
        Self::start("s3s-fs", command, directory, port)
    }

    fn start(name: &str, command: Command, directory: TempDir, port: u16) -> Self {
        let mut server = Server::start(name, command, Signal::SIGTERM, directory.path());
        server.wait_until(Duration::from_secs(60), || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { server, directory, port }
    }

    /// As `AWS_ENDPOINT_URL_S3` wants it.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A new bucket in us-east-1 whose name no other test has.
    pub(crate) fn bucket(&self) -> String {
        self.bucket_in("us-east-1")
    }

    /// A new bucket in `region`.
    pub(crate) fn bucket_in(&self, region: &str) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let bucket = format!("bucket-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let mut command = self.curl(region, "s3");
        command.args(["--request", "PUT"]);
        if region != "us-east-1" {
            command.args(["--header", "Content-Type: application/xml"]);
            command.arg("--data-binary").arg(format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
            ));
        }
        shell::must(command.arg(format!("{}/{bucket}", self.url())));
        bucket
    }

    /// Puts one object.
    pub(crate) fn put(&self, bucket: &str, key: &str, content: impl AsRef<[u8]>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        let mut command = self.curl("us-east-1", "s3");
        command.arg("--upload-file").arg(file.path());
        shell::must(command.arg(format!("{}/{bucket}/{key}", self.url())));
    }

    /// An object as it is there.
    pub(crate) fn get(&self, bucket: &str, key: &str) -> String {
        let mut command = self.curl("us-east-1", "s3");
        shell::must(command.arg(format!("{}/{bucket}/{key}", self.url())))
    }

    /// Takes one object away.
    pub(crate) fn delete(&self, bucket: &str, key: &str) {
        let mut command = self.curl("us-east-1", "s3");
        command.args(["--request", "DELETE"]);
        shell::must(command.arg(format!("{}/{bucket}/{key}", self.url())));
    }

    /// A user with `policy` (an IAM policy document) alone: its access key and secret. Of moto only, and asked for before
    /// [`Self::enforce_iam`].
    pub(crate) fn user(&self, name: &str, policy: &str) -> (String, String) {
        self.iam(&[("Action", "CreateUser"), ("UserName", name)]);
        self.iam(&[
            ("Action", "PutUserPolicy"),
            ("UserName", name),
            ("PolicyName", "only"),
            ("PolicyDocument", policy),
        ]);
        let answer = self.iam(&[("Action", "CreateAccessKey"), ("UserName", name)]);
        let field = |name: &str| {
            let (_, rest) = answer.split_once(&format!("<{name}>")).expect(name);
            rest.split('<').next().expect(name).to_owned()
        };
        (field("AccessKeyId"), field("SecretAccessKey"))
    }

    /// From now on this moto allows nothing but what a user's policy does. Not to be undone, so not for the shared one.
    pub(crate) fn enforce_iam(&self) {
        let mut command = Command::new("curl");
        command.args(["-sS", "--fail-with-body", "--max-time", "30", "--data", "0"]);
        command.args(["--header", "Content-Type: text/plain"]);
        shell::must(command.arg(format!("{}/moto-api/reset-auth", self.url())));
    }

    fn iam(&self, fields: &[(&str, &str)]) -> String {
        let mut command = self.curl("us-east-1", "iam");
        for (name, value) in fields {
            command.arg("--data-urlencode").arg(format!("{name}={value}"));
        }
        command.args(["--data-urlencode", "Version=2010-05-08"]);
        shell::must(command.arg(self.url()))
    }

    /// `curl` that signs as [`ACCESS_KEY`].
    fn curl(&self, region: &str, service: &str) -> Command {
        let mut command = signing_curl(ACCESS_KEY, SECRET_KEY, region, service);
        command.arg("--fail-with-body");
        command
    }

    /// What it has logged: moto writes one line per request.
    pub(crate) fn log(&self) -> String {
        self.server.log_tail()
    }
}

/// `curl` that signs as whom it is told; an error's body is what it prints then, and no failure.
pub(crate) fn signing_curl(key: &str, secret: &str, region: &str, service: &str) -> Command {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--max-time", "30"])
        .args(["--aws-sigv4", &format!("aws:amz:{region}:{service}")])
        .args(["--user", &format!("{key}:{secret}")]);
    if service == "s3" {
        // Debian's curl signs without this header, which S3 demands.
        command.args(["--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]);
    }
    command
}
