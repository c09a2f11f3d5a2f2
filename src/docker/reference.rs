//! Names of images and digests of their content, checked when they are read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A SHA-256 as Docker writes it: `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// The digest with its `sha256:` prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("sha256:").unwrap_or_default();
        if digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Digest(text.to_owned()))
        } else {
            Err(format!(
                "{text:?} is not a digest: sha256: and 64 lower-case hexadecimal digits are expected"
            ))
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of an image, `[registry/]path:tag`, in the form in which the engine lists it.
///
/// `docker.io/library/busybox`, `docker.io/busybox:latest` and `busybox` are one and the same here, since the engine
/// leaves the default registry and the default tag out or in as it likes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    repository: String,
    tag: String,
}

impl Reference {
    /// The name without its tag.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` if none was given.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The registry that serves it, `docker.io` for Docker Hub.
    pub fn registry(&self) -> &str {
        match self.repository.split_once('/') {
            Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
            _ => "docker.io",
        }
    }

    /// The name by which exactly this content is pulled.
    pub fn at(&self, digest: &Digest) -> String {
        format!("{}@{digest}", self.repository)
    }
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("{text:?} is not an image name: {why}"));
        if text.contains('@') {
            return wrong("the digest belongs in a key of its own");
        }
        let slash = text.rfind('/').map_or(0, |at| at + 1);
        let (repository, tag) = match text[slash..].rfind(':') {
            Some(colon) => (&text[..slash + colon], &text[slash + colon + 1..]),
            None => (text, "latest"),
        };
        let repository = ["docker.io/", "index.docker.io/"]
            .iter()
            .find_map(|prefix| repository.strip_prefix(prefix))
            .map_or(repository, |path| path.strip_prefix("library/").unwrap_or(path));
        let path = repository.split('/').enumerate().all(|(nth, part)| {
            let may_be_registry = nth == 0 && repository.contains('/');
            !part.is_empty()
                && part.bytes().all(|byte| match byte {
                    b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' => true,
                    b'A'..=b'Z' | b':' => may_be_registry,
                    _ => false,
                })
        });
        if !path {
            return wrong("[registry/]path:tag is expected, the path in lower case");
        }
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let tag_is_good = !tag.is_empty()
            && tag.len() <= 128
            && word(tag.as_bytes()[0])
            && tag.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-');
        if !tag_is_good {
            return wrong("its tag is invalid");
        }
        Ok(Reference { repository: repository.to_owned(), tag: tag.to_owned() })
    }
}

impl TryFrom<String> for Reference {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> String {
        reference.to_string()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_the_engine_lists_them() {
        for (given, listed, registry) in [
            ("busybox", "busybox:latest", "docker.io"),
            ("docker.io/library/busybox:1", "busybox:1", "docker.io"),
            (
                "docker.io/replicated/replicated:stable-2.53.2",
                "replicated/replicated:stable-2.53.2",
                "docker.io",
            ),
            (
                "quay.io/replicated/replicated:stable-2.38.6",
                "quay.io/replicated/replicated:stable-2.38.6",
                "quay.io",
            ),
            ("10.0.0.9:9874/frontend:2.19", "10.0.0.9:9874/frontend:2.19", "10.0.0.9:9874"),
            ("127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b:latest", "127.0.0.1:5000"),
            ("localhost/a:1", "localhost/a:1", "localhost"),
        ] {
            let reference: Reference = given.parse().unwrap();
            assert_eq!((reference.to_string().as_str(), reference.registry()), (listed, registry));
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", ":1", "a:", "a b:1", "Upper:1", "a//b:1", "a@sha256:00", "a:-x", "quay.io/:1"] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_digest_has_its_algorithm_and_all_its_digits() {
        let good = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(good.parse::<Digest>().unwrap().as_str(), good);
        for text in ["", "sha256:", &good[7..], &good.to_uppercase(), &good[..good.len() - 1]] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
