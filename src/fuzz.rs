//! Every reader of bytes that come from outside, as a function of whatever bytes come.
//!
//! None may panic, and what each promises beyond that is asserted where it stands. The test below tries each on its corpus,
//! `fuzz/corpus/NAME`, and on mutations of it; `fuzz/run` lets LLVM's fuzzer look for more, guided by what the bytes reach.
#![allow(clippy::unwrap_used)]

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::aws::imds::Imds;
use crate::boot::fuzz as boot;
use crate::bundle::BundleFile;
use crate::bundle::fuzz as bundle;
use crate::database::fuzz as database;
use crate::dns::fuzz as dns;
use crate::docker::lock::Lock;
use crate::docker::reference::Reference;
use crate::files::Root;
use crate::http::Http;
use crate::record::Record;
use crate::replicated::fuzz as replicated;
use crate::settings::{Fragment, Source};

/// A reader.
#[allow(missing_docs)]
pub struct Target {
    pub name: &'static str,
    pub read: fn(&[u8]),
}

macro_rules! targets {
    ($($name:ident: $read:expr,)*) => {
        /// All of them.
        pub const TARGETS: &[Target] = &[$(Target { name: stringify!($name), read: $read },)*];
    };
}

targets! {
    agent_toml: |bytes| drop(Fragment::from_toml(text(bytes), "agent.toml")),
    app_status: replicated::app_status,
    boot_json: |bytes| on_disk(crate::record::RECORD_FILE, bytes, |root| drop(Record::read(root))),
    bson: database::bson,
    customizations: |bytes| bundle::file(BundleFile::Customizations, bytes),
    dns_answer: dns::answer,
    health_answer: replicated::health_answer,
    hosts: dns::hosts,
    image_reference: |bytes| drop(text(bytes).parse::<Reference>()),
    images_lock: |bytes| drop(Lock::parse(&text(bytes))),
    images_toml: crate::bake::fuzz,
    imds_answer: imds_answer,
    installer_output: replicated::installer_output,
    installer_script: replicated::installer_script,
    json: bundle::json,
    license: |bytes| bundle::file(BundleFile::License, bytes),
    mongo_answer: database::mongo_answer,
    mongo_uri: |bytes| database::uri(&text(bytes)),
    order_json: |bytes| on_disk(boot::ORDER_FILE, bytes, boot::order),
    postgres_answer: database::postgres_answer,
    postgres_uri: |bytes| database::uri(&text(bytes)),
    replicated_conf: |bytes| bundle::file(BundleFile::Replicated, bytes),
    resolv_conf: dns::resolv_conf,
    settings_conf: |bytes| bundle::file(BundleFile::Settings, bytes),
    shell: bundle::shell,
    source: |bytes| drop(Source::parse(&text(bytes))),
    user_data: boot::user_data,
    vault_answer: database::vault_answer,
}

/// What is not UTF-8 never reaches those who read text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn imds_answer(bytes: &[u8]) {
    answered(&http(bytes), async |address| {
        let imds = Imds::new(&Http::new(Root::default()), &format!("http://{address}")).unwrap();
        let _ = imds.identity().await;
    });
}

/// Puts the bytes into a file under a root of their own, and reads it there.
fn on_disk(path: &str, bytes: &[u8], read: impl FnOnce(&Root)) {
    let name = format!("boot-agent-fuzz-{}-{:?}", std::process::id(), std::thread::current().id());
    let directory = std::env::temp_dir().join(name);
    let root = Root::new(&directory);
    let path = root.path(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
    read(&root);
    std::fs::remove_dir_all(directory).unwrap();
}

/// The bytes as the body of an answer, whose status the first of them chooses.
pub(crate) fn http(bytes: &[u8]) -> Vec<u8> {
    const STATUSES: [u16; 8] = [200, 204, 400, 403, 404, 429, 500, 503];
    let (first, body) = bytes.split_first().unwrap_or((&0, &[]));
    let status = STATUSES[usize::from(*first) % STATUSES.len()];
    let head =
        format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Lets `ask` ask a peer on the loopback that answers whatever it is sent with these bytes, and hangs up.
pub(crate) fn answered(bytes: &[u8], ask: impl AsyncFnOnce(SocketAddr)) {
    thread_local! {
        static RUNTIME: OnceCell<tokio::runtime::Runtime> = const { OnceCell::new() };
    }
    RUNTIME.with(|runtime| {
        let build = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.get_or_init(build).block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let answer = async {
                let mut asked = vec![0; 64 * 1024];
                while let Ok((mut stream, _)) = listener.accept().await {
                    // A client may wait for the first word itself.
                    let _ = tokio::time::timeout(Duration::from_millis(20), stream.read(&mut asked)).await;
                    let _ = stream.write_all(bytes).await;
                }
            };
            tokio::select! {
                () = answer => {}
                // Every wait for a peer has a limit of its own.
                asked = tokio::time::timeout(Duration::from_secs(120), ask(address)) => asked.unwrap(),
            }
        });
    });
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use proptest::prelude::*;
    use proptest::sample::Index;
    use proptest::test_runner::{TestError, TestRunner};

    use super::*;
    use crate::cpu_time::cpu_time;

    /// How many mutations of its corpus each target is tried on, or the one of `FUZZ_TARGET`; `FUZZ_CASES` says otherwise.
    fn cases() -> u32 {
        std::env::var("FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(128)
    }

    fn corpus(name: &str) -> Vec<Vec<u8>> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let files =
            fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
    }

    #[derive(Debug, Clone)]
    enum Edit {
        Set(Index, u8),
        Insert(Index, Vec<u8>),
        Remove(Index, usize),
        Repeat(Index, usize, usize),
        /// The rest comes from another one of the corpus.
        Cross(Index, Index),
    }

    fn edit() -> impl Strategy<Value = Edit> {
        // What has a meaning to some reader or other, and what stands at the edges of numbers.
        let word = prop::sample::select(vec![
            &b"\0"[..],
            b"\xff\xff\xff\xff",
            b"\x7f\xff\xff\xff",
            b"\x80",
            b"\n",
            b"\r\n",
            b"\"",
            b"'",
            b"\\",
            b"${",
            b"$(",
            b"`",
            b"{",
            b"}",
            b"[",
            b"]",
            b":",
            b"@",
            b"%",
            b"%00",
            b"%zz",
            b"//",
            b"://",
            b",",
            b"=",
            b"&",
            b"\xe2\x80\x9c",
            b"\xef\xbb\xbf",
            b"\xc3",
            b"\xf0\x9f\x92\xa5",
            b"-1",
            b"99999999999999999999",
            b"1e999",
            b"null",
            b"<html>",
        ]);
        let bytes = prop_oneof![word.prop_map(<[u8]>::to_vec), prop::collection::vec(any::<u8>(), 1..8)];
        prop_oneof![
            (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
            (any::<Index>(), bytes).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
            (any::<Index>(), 1..40_usize).prop_map(|(at, count)| Edit::Remove(at, count)),
            (any::<Index>(), 1..40_usize, 1..60_usize)
                .prop_map(|(at, count, times)| Edit::Repeat(at, count, times)),
            (any::<Index>(), any::<Index>()).prop_map(|(at, other)| Edit::Cross(at, other)),
        ]
    }

    fn edited(corpus: &[Vec<u8>], seed: Index, edits: &[Edit]) -> Vec<u8> {
        let mut bytes = corpus[seed.index(corpus.len())].clone();
        for edit in edits {
            let place = |at: &Index| at.index(bytes.len() + 1);
            match edit {
                Edit::Set(at, byte) => {
                    let at = place(at);
                    if let Some(old) = bytes.get_mut(at) {
                        *old = *byte;
                    }
                }
                Edit::Insert(at, new) => {
                    let at = place(at);
                    bytes.splice(at..at, new.iter().copied());
                }
                Edit::Remove(at, count) => {
                    let at = place(at);
                    bytes.drain(at..bytes.len().min(at + count));
                }
                Edit::Repeat(at, count, times) => {
                    let at = place(at);
                    let piece = bytes[at..bytes.len().min(at + count)].repeat(*times);
                    bytes.splice(at..at, piece);
                }
                Edit::Cross(at, other) => {
                    let at = place(at);
                    bytes.truncate(at);
                    let other = &corpus[other.index(corpus.len())];
                    bytes.extend_from_slice(&other[at.min(other.len())..]);
                }
            }
        }
        bytes
    }

    #[test]
    fn every_target_survives_its_corpus_and_mutations_of_it() {
        let strategy = (any::<Index>(), prop::collection::vec(edit(), 0..6));
        let config =
            ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() };
        let wanted = std::env::var("FUZZ_TARGET").ok();
        for target in TARGETS.iter().filter(|one| wanted.as_deref().is_none_or(|wanted| one.name == wanted)) {
            let (corpus, started) = (corpus(target.name), cpu_time());
            for bytes in &corpus {
                (target.read)(bytes);
            }
            let result = TestRunner::new(config.clone()).run(&strategy, |(seed, edits)| {
                (target.read)(&edited(&corpus, seed, &edits));
                Ok(())
            });
            if let Err(TestError::Fail(why, (seed, edits))) = result {
                let bytes = edited(&corpus, seed, &edits);
                panic!("{}: {why}\nb\"{}\"", target.name, bytes.escape_ascii());
            }
            println!("{}: {} cases in {:?}", target.name, cases(), cpu_time() - started);
        }
    }

    #[test]
    fn every_corpus_has_a_target() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        let there: BTreeSet<String> = fs::read_dir(directory)
            .unwrap()
            .map(|one| one.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(there, TARGETS.iter().map(|target| target.name.to_owned()).collect());
    }
}
