//! One static binary: it needs nothing of the box that it runs on.

use std::path::Path;
use std::process::Command;

use super::front;
use super::harness::s3::{self, S3Server};
use super::harness::{engine, parts, shell};

const AGENT: &str = env!("CARGO_BIN_EXE_agent");

#[test]
fn the_linker_says_that_it_is_static() {
    let said = shell::run(Command::new("ldd").arg(AGENT));
    let said = [said.stdout, said.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("not a dynamic executable") || said.contains("statically linked"), "{said}");
}

#[test]
fn its_openssl_was_built_for_threads() {
    // Its Configure leaves them out of a static build unless told otherwise, and what comes of that is a heap that is
    // corrupted now and then, which no other test would notice for certain.
    let agent = std::fs::read(AGENT).unwrap();
    let carries = |flag: &[u8]| agent.windows(flag.len()).any(|bytes| bytes == flag);
    assert!(
        carries(b"-DOPENSSL_BUILDING_OPENSSL"),
        "the flags of OpenSSL's build are no longer in the binary"
    );
    assert!(carries(b"-DOPENSSL_THREADS"));
}

#[test]
fn it_runs_and_resolves_a_name_where_there_is_nothing_else() {
    let engine = engine::lease();
    let directory = parts::directory("image");
    let archive = directory.path().join("image.tar");
    let mut tar = Command::new("tar");
    tar.arg("--create").arg("--file").arg(&archive);
    tar.arg("--directory").arg(Path::new(AGENT).parent().unwrap()).arg("agent");
    shell::must(&mut tar);
    engine.docker(&["import", archive.to_str().unwrap(), "only-the-agent:1"]);
    let run = |options: &[&str], arguments: &[&str]| {
        let run = ["run", "--rm", "--network=host"];
        engine.docker(&[&run, options, &["only-the-agent:1", "/agent"], arguments].concat())
    };
    assert_eq!(run(&[], &["--version"]), concat!("agent ", env!("CARGO_PKG_VERSION")));

    // Not moto, which takes the first part of a host name for the bucket.
    let s3 = S3Server::verifying();
    let bucket = s3.bucket();
    for (name, content) in front::bundle() {
        s3.put(&bucket, &format!("services-box/{name}"), content);
    }
    // The name stands in /etc/hosts of the container alone, so that only whoever reads that can resolve it.
    let endpoint = format!("AWS_ENDPOINT_URL_S3={}", s3.url().replace("127.0.0.1", "s3.of-the-test.example"));
    let key = format!("AWS_ACCESS_KEY_ID={}", s3::ACCESS_KEY);
    let secret = format!("AWS_SECRET_ACCESS_KEY={}", s3::SECRET_KEY);
    let options = [
        "--add-host=s3.of-the-test.example:127.0.0.1",
        "--env=AWS_REGION=us-east-1",
        &format!("--env={endpoint}"),
        &format!("--env={key}"),
        &format!("--env={secret}"),
    ];
    let source = format!("s3://{bucket}/services-box");
    let said = run(&options, &["check", &source]);
    assert!(said.ends_with(": valid"), "{said}");

    // Without the name it is the name that is at fault, so it was resolved above.
    let refused = engine.try_docker(
        &[
            &["run", "--rm", "--network=host"],
            &options[1..],
            &["only-the-agent:1", "/agent", "check", &source],
        ]
        .concat(),
    );
    let said = String::from_utf8_lossy(&[refused.stdout, refused.stderr].concat()).into_owned();
    assert!(!refused.status.success() && said.contains("s3.of-the-test.example"), "{said}");
}
