//! What a long file must come to, checked while its bytes go by.

use std::fmt;

use aws_smithy_checksums::ChecksumAlgorithm;
use aws_smithy_checksums::http::HttpChecksum;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use sha2::Sha256;

/// What is known of a file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// SHA-256 in lower-case hex.
    Sha256(String),
    /// A checksum of S3 over the whole object, in Base64.
    S3(ChecksumAlgorithm, String),
    /// MD5 in lower-case hex: the ETag of an object that was uploaded in one part.
    Md5(String),
    /// The ETag of an object that was uploaded in parts of one size, except the last: the MD5 of their MD5s, a dash and
    /// their number.
    Parts {
        /// The size of each part in bytes, at least 1.
        size: u64,
        /// The ETag.
        etag: String,
    },
}

impl Expected {
    fn value(&self) -> &str {
        match self {
            Expected::Sha256(value) | Expected::S3(_, value) | Expected::Md5(value) => value,
            Expected::Parts { etag, .. } => etag,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Expected::Sha256(_) => "SHA-256",
            Expected::S3(algorithm, _) => match algorithm {
                ChecksumAlgorithm::Crc32 => "CRC-32",
                ChecksumAlgorithm::Crc32c => "CRC-32C",
                ChecksumAlgorithm::Crc64Nvme => "CRC-64/NVME",
                ChecksumAlgorithm::Sha1 => "SHA-1",
                _ => "SHA-256",
            },
            Expected::Md5(_) | Expected::Parts { .. } => "ETag",
        })
    }
}

/// A digest that is not the expected one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// What was expected.
    pub expected: Expected,
    /// What was found, in the form of the expected value.
    pub found: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} expected {}, found {}", self.expected, self.expected.value(), self.found)
    }
}

/// Computes every expected digest at the same time.
pub struct Digester(Vec<(Expected, State)>);

enum State {
    Sha256(Sha256),
    S3(Box<dyn HttpChecksum>),
    Md5(Md5),
    Parts(Parts),
}

#[derive(Default)]
struct Parts {
    current: Md5,
    filled: u64,
    sums: Md5,
    count: u64,
}

impl Parts {
    fn update(&mut self, size: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = usize::try_from(size - self.filled).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.current.update(now);
            self.filled += now.len() as u64;
            if self.filled == size {
                self.close();
            }
            bytes = later;
        }
    }

    fn close(&mut self) {
        self.sums.update(std::mem::take(&mut self.current).finalize());
        self.filled = 0;
        self.count += 1;
    }

    fn finish(mut self) -> String {
        if self.filled > 0 {
            self.close();
        }
        format!("{}-{}", hex(&self.sums.finalize()), self.count)
    }
}

impl Digester {
    /// Of nothing yet.
    pub fn new(expected: &[Expected]) -> Self {
        let states = expected.iter().map(|expected| {
            let state = match expected {
                Expected::Sha256(_) => State::Sha256(Sha256::new()),
                Expected::S3(algorithm, _) => State::S3(algorithm.into_impl()),
                Expected::Md5(_) => State::Md5(Md5::new()),
                Expected::Parts { .. } => State::Parts(Parts::default()),
            };
            (expected.clone(), state)
        });
        Digester(states.collect())
    }

    /// Adds what comes next in the file.
    pub fn update(&mut self, bytes: &[u8]) {
        for (expected, state) in &mut self.0 {
            match (state, expected) {
                (State::Sha256(state), _) => state.update(bytes),
                (State::S3(state), _) => state.update(bytes),
                (State::Md5(state), _) => state.update(bytes),
                (State::Parts(state), Expected::Parts { size, .. }) => state.update(*size, bytes),
                (State::Parts(_), _) => {}
            }
        }
    }

    /// Compares at the end of the file.
    ///
    /// # Errors
    /// The first digest that differs.
    pub fn finish(self) -> Result<(), Mismatch> {
        for (expected, state) in self.0 {
            let found = match state {
                State::Sha256(state) => hex(&state.finalize()),
                State::S3(state) => STANDARD.encode(state.finalize()),
                State::Md5(state) => hex(&state.finalize()),
                State::Parts(state) => state.finish(),
            };
            if found != expected.value() {
                return Err(Mismatch { expected, found });
            }
        }
        Ok(())
    }
}

/// The SHA-256 that a file as `sha256sum` writes it gives for `name`; a file of one line may name any file, or none.
pub fn sha256_of(text: &str, name: &str) -> Option<String> {
    let sums = text.lines().filter_map(|line| {
        let is_sum = |word: &&str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let sum = line.split_whitespace().find(is_sum)?;
        // `SUM  NAME`, `SUM *NAME`, `SHA256 (NAME) = SUM`
        let names = line.split(|c: char| c.is_whitespace() || "*()".contains(c));
        let is_named = names.filter_map(|word| word.rsplit('/').next()).any(|word| word == name);
        Some((sum.to_ascii_lowercase(), is_named))
    });
    let sums: Vec<(String, bool)> = sums.collect();
    match sums.as_slice() {
        [(sum, _)] => Some(sum.clone()),
        several => several.iter().find(|(_, is_named)| *is_named).map(|(sum, _)| sum.clone()),
    }
}

/// Bytes in lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn judged(expected: &[Expected], chunks: &[&[u8]]) -> Result<(), Mismatch> {
        let mut digester = Digester::new(expected);
        chunks.iter().for_each(|chunk| digester.update(chunk));
        digester.finish()
    }

    /// The values are those of sha256sum, md5sum, and of the algorithms' published check value of "123456789".
    #[test]
    fn every_digest_is_compared_however_the_bytes_come() {
        let expected = [
            Expected::Sha256("15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225".to_owned()),
            Expected::S3(ChecksumAlgorithm::Crc32, STANDARD.encode(0xCBF4_3926_u32.to_be_bytes())),
            Expected::S3(
                ChecksumAlgorithm::Crc64Nvme,
                STANDARD.encode(0xAE8B_1486_0A79_9888_u64.to_be_bytes()),
            ),
            Expected::Md5("25f9e794323b453885f5181f1b624d0b".to_owned()),
        ];
        for chunks in [&[&b"123456789"[..]][..], &[b"1234", b"", b"5678", b"9"]] {
            assert_eq!(judged(&expected, chunks), Ok(()));
        }
        for one in expected {
            let mismatch = judged(std::slice::from_ref(&one), &[b"12345678"]).unwrap_err();
            assert_eq!(mismatch.expected, one);
        }
    }

    #[test]
    fn the_etag_of_parts_is_the_md5_of_their_md5s() {
        let sums = [b"1234", b"5678"].map(Md5::digest).concat();
        let with_last = [sums.clone(), Md5::digest(b"9").to_vec()].concat();
        for (content, etag) in [
            (&b"12345678"[..], format!("{}-2", hex(&Md5::digest(&sums)))),
            (b"123456789", format!("{}-3", hex(&Md5::digest(&with_last)))),
        ] {
            let expected = [Expected::Parts { size: 4, etag }];
            assert_eq!(judged(&expected, &[content]), Ok(()));
            let bytes: Vec<&[u8]> = content.chunks(3).collect();
            assert_eq!(judged(&expected, &bytes), Ok(()));
            assert!(judged(&expected, &[b"123456780"]).is_err());
        }
    }

    #[test]
    fn a_checksum_file_may_have_any_of_the_usual_forms() {
        let (sum, other) = ("a1".repeat(32), "b2".repeat(32));
        for text in [
            sum.clone(),
            format!("{}\n", sum.to_uppercase()),
            format!("{sum}  app.airgap\n"),
            format!("{sum} *./build/app.airgap\n"),
            format!("SHA256 (app.airgap) = {sum}\n"),
            format!("{other}  other.airgap\n{sum}  app.airgap\n"),
        ] {
            assert_eq!(sha256_of(&text, "app.airgap").as_deref(), Some(sum.as_str()), "{text}");
        }
        for text in ["", "not a sum", &format!("{sum}  x.airgap\n{other}  y.airgap\n")] {
            assert_eq!(sha256_of(text, "app.airgap"), None, "{text}");
        }
    }
}
