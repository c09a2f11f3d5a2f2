//! Pattern-based redaction, as a safety net for unknown secrets.
//!
//! It complements the scrubber of known secrets and never replaces it: container logs contain secrets of other
//! programs, which cannot be known. It prefers redacting too much.

use std::borrow::Cow;
use std::ops::Range;

use aho_corasick::AhoCorasick;
use regex_lite::{Captures, Regex};

use super::redact::{MARKER, marker};
use crate::cause::Cause;
use crate::kind::Kind;
use crate::secret::names::{PARTS, is_harmless};

/// The forms, as a manifest names them.
pub(super) const PRIVATE_KEY: &str = "private key";
const ADDRESS: &str = "password in an address";
const AUTHORIZATION: &str = "authorization";
const COOKIE: &str = "cookie";
const WEB_TOKEN: &str = "JSON web token";
const AWS_KEY: &str = "AWS key";
const TOKEN: &str = "access token";
const NAMED: &str = "named as a secret";

/// How far a private key may reach, in bytes; a 16384-bit RSA key in PEM has 12.7 KB.
const LONGEST_KEY: usize = 20 * 1024;

/// Longer than the name of any user; a token that stands alone before the `@` of an address is longer still.
const LONGEST_USER: usize = 15;

/// A pattern is only tried on a line with one of these words, in lower case.
const ANCHORS: &[&str] = &[
    "://",
    "authorization",
    "bearer",
    "cookie",
    "eyj",
    "akia",
    "asia",
    "gh",
    "xox",
    "pass",
    "secret",
    "token",
    "key",
    "credential",
    "signature",
    "pwd",
    "auth",
];

/// A value: quoted in a quoted text, quoted, or up to the next blank.
const VALUE: &str = r#"(?:\\"(.*?)\\"|"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s"'\\]+))"#;

/// One form by which a secret is recognized within a line; its groups are the secret, whichever of them matched.
struct Form {
    class: &'static str,
    regex: Regex,
}

/// All of them.
pub(super) struct PatternSet {
    anchors: AhoCorasick,
    forms: Vec<Form>,
}

impl PatternSet {
    /// # Errors
    /// `support.patterns`, which only a wrong pattern in this file can cause.
    pub(super) fn new() -> Result<Self, Cause> {
        // As they stand in logs, dumps of environments, JSON and EDN. `--http-tokens required` is none.
        let parts = PARTS.join("|").replace(' ', "[_-]?");
        let name = format!("[a-z0-9_.-]*(?:{parts})[a-z0-9_.-]*");
        let flag = format!("(?:passw(?:or)?d|{parts}|key)");
        let named_as_flag = format!(
            r#"(?i)(?:^|\s)--?[a-z0-9-]*{flag}(?:\s+|=)(?:"([^"]*)"|'([^']*)'|([^\s"'\\-][^\s"'\\]*))"#
        );
        let named_in_edn = format!(r#"(?i):{name}\s+\\?"((?:[^"\\]|\\[^"])*)\\?""#);
        let named = format!(r#"(?i){name}(?:\\?["'])?\s*(?:=>|[:=])\s*{VALUE}"#);
        let sources: [(&str, &str); 11] = [
            (AUTHORIZATION, r#"(?i)authorization(?:\\?["'])?\s*[:=]\s*(?:\\?["'])?([^"'\\]+)"#),
            (AUTHORIZATION, r"(?i)\bbearer\s+([a-z0-9._~+/=-]{8,})"),
            (COOKIE, r#"(?i)cookie(?:\\?["'])?\s*[:=]\s*(?:\\?["'])?([^"'\\]+)"#),
            (WEB_TOKEN, r"\b(eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)?)"),
            (AWS_KEY, r"\b((?:AKIA|ASIA)[A-Z0-9]{16})\b"),
            (
                TOKEN,
                r"\b(gh[opusr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}|xox[abeoprs]-[A-Za-z0-9-]{10,})",
            ),
            (NAMED, &named_as_flag),
            (NAMED, &named_in_edn),
            (NAMED, &named),
            // What `docker login` keeps: a user and a password in base64.
            (NAMED, r#"\\?"(?:auth|identitytoken)\\?"\s*:\s*\\?"([A-Za-z0-9+/=._-]+)\\?""#),
            (NAMED, r"(?i)aws[a-z_ ]*secret[a-z_ ]*\W{1,4}([A-Za-z0-9/+=]{40})"),
        ];
        let wrong = |error: &dyn std::error::Error| {
            Cause::host(Kind::SupportPatterns, "A built-in pattern is invalid.", "Reinstall the agent.")
                .with("error", error)
        };
        let mut forms = Vec::new();
        for (class, source) in sources {
            forms.push(Form { class, regex: Regex::new(source).map_err(|error| wrong(&error))? });
        }
        let anchors = AhoCorasick::builder().ascii_case_insensitive(true).build(ANCHORS);
        Ok(PatternSet { anchors: anchors.map_err(|error| wrong(&error))?, forms })
    }

    /// Replaces everything that looks like a secret by a marker with the pattern's name.
    pub(super) fn catch(&self, text: &str) -> String {
        let text = without_private_keys(text);
        let mut clean = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            if self.anchors.is_match(line) {
                clean.push_str(&self.catch_in_line(line));
            } else {
                clean.push_str(line);
            }
        }
        clean
    }

    fn catch_in_line(&self, line: &str) -> String {
        let has_key_id = line.contains("AKIA") || line.contains("ASIA");
        let mut line = without_passwords(line);
        if has_key_id {
            line = without_neighbours_of_key_ids(&line);
        }
        for form in &self.forms {
            let replaced =
                form.regex.replace_all(&line, |captures: &Captures<'_>| hidden(captures, form.class));
            if let Cow::Owned(replaced) = replaced {
                line = replaced;
            }
        }
        line
    }
}

/// The match with its group replaced, unless that is harmless or has been replaced already.
fn hidden(captures: &Captures<'_>, class: &str) -> String {
    let whole = captures.get(0).map_or("", |whole| whole.as_str());
    let start = captures.get(0).map_or(0, |whole| whole.start());
    let Some(secret) = captures.iter().skip(1).flatten().next() else {
        return whole.to_owned();
    };
    let value = secret.as_str().trim_end_matches(['\r', '\n']);
    if !is_worth_hiding(value) {
        return whole.to_owned();
    }
    let (from, to) = (secret.start() - start, secret.start() - start + value.len());
    format!("{}{}{}", &whole[..from], marker(class), &whole[to..])
}

fn is_worth_hiding(value: &str) -> bool {
    let is_end = |c: char| c.is_whitespace() || ",;.)}]".contains(c);
    let bare = value.trim().trim_end_matches(is_end);
    !is_gone(value.trim().trim_end_matches([',', ';', '.', ')', '}'])) && !is_harmless(bare)
}

/// Whether nothing but a marker stands there, or its first word; beside a part that was known, the rest of a secret may
/// stand.
fn is_gone(value: &str) -> bool {
    value.starts_with(MARKER) && value.find(']').is_none_or(|end| end + 1 == value.len())
}

/// Without the passwords of addresses, `scheme://user:password@host`.
fn without_passwords(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, address) = rest.split_at(at + 3);
        clean.push_str(before);
        let end =
            address.find(|c: char| c.is_whitespace() || "\"'<>`\\".contains(c)).unwrap_or(address.len());
        rest = address;
        if let Some(secret) = password_in(&address[..end]) {
            clean.push_str(&address[..secret.start]);
            clean.push_str(&marker(ADDRESS));
            rest = &address[secret.end..];
        }
    }
    clean + rest
}

/// Where the password stands in what follows `://`. An unescaped `/`, `?`, `#` or `@` in it is the classic mistake, so
/// none of them ends it for certain.
fn password_in(address: &str) -> Option<Range<usize>> {
    let authority = address.find(['/', '?', '#']).unwrap_or(address.len());
    let at = match address[..authority].rfind('@') {
        Some(at) => at,
        None => {
            let (_, behind) = address.split_once(':')?;
            let is_port = behind.starts_with(|c: char| c.is_ascii_digit());
            if is_port {
                return None;
            }
            address.find('@')?
        }
    };
    let secret = match address[..at].find(':') {
        Some(colon) => colon + 1..at,
        // A token in the place of the user.
        None if at > LONGEST_USER => 0..at,
        None => return None,
    };
    (is_worth_hiding(&address[secret.clone()])).then_some(secret)
}

/// Secret keys stand beside their ids, and have no form of their own: 40 characters of base64.
fn without_neighbours_of_key_ids(line: &str) -> String {
    let is_of_key = |c: char| c.is_ascii_alphanumeric() || "/+=".contains(c);
    let mut clean = String::with_capacity(line.len());
    for word in line.split_inclusive(|c: char| !is_of_key(c)) {
        let key = word.trim_end_matches(|c: char| !is_of_key(c));
        // `name=KEY` is one word here.
        let key = key.rsplit_once('=').map_or(key, |(_, key)| key);
        if key.len() == 40 {
            clean.push_str(&word.replace(key, &marker(AWS_KEY)));
        } else {
            clean.push_str(word);
        }
    }
    clean
}

/// Without private keys in PEM form, over as many lines as they take, also with line breaks written as `\n`, with what
/// a log puts in front of each line, and with their beginning or end cut off.
fn without_private_keys(text: &str) -> Cow<'_, str> {
    if !text.contains("PRIVATE KEY-----") {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("PRIVATE KEY-----") {
        let after = at + "PRIVATE KEY-----".len();
        let dashes = rest[..at].rfind("-----").unwrap_or(at);
        if rest[dashes..at].starts_with("-----END") {
            // The end of a key whose beginning is not here.
            let gone = marker(PRIVATE_KEY);
            let is_gone = rest[..dashes].ends_with(&gone);
            let start = if is_gone { dashes - gone.len() } else { beginning_of_key(&rest[..dashes]) };
            clean.push_str(&rest[..start]);
            clean.push_str(&gone);
            clean.push_str(&rest[dashes..after]);
            rest = &rest[after..];
            continue;
        }
        clean.push_str(&rest[..after]);
        rest = &rest[after..];
        if rest.starts_with(&marker(PRIVATE_KEY)) {
            continue;
        }
        clean.push_str(&marker(PRIVATE_KEY));
        let reach = boundary(rest, LONGEST_KEY);
        match rest[..reach].find("-----END") {
            Some(end) => {
                let end_line = rest[end..].find("KEY-----").map_or(rest.len(), |found| end + found + 8);
                clean.push_str(&rest[end..end_line]);
                rest = &rest[end_line..];
            }
            None => rest = &rest[end_of_key(rest)..],
        }
    }
    clean.push_str(rest);
    Cow::Owned(clean)
}

/// Whether a line may belong to a key: its last word is long and of base64.
fn is_of_key(line: &str) -> bool {
    let word = line.trim_end().rsplit([' ', '\t', '|']).next().unwrap_or_default();
    let word = word.trim_end_matches("\\n");
    word.is_empty()
        || (word.len() >= 2 && word.chars().all(|c| c.is_ascii_alphanumeric() || "+/=\\:,-".contains(c)))
}

fn end_of_key(text: &str) -> usize {
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        if !is_of_key(line) || end > LONGEST_KEY {
            break;
        }
        end += line.len();
    }
    // The line break stays, so that what follows does.
    text[..end].trim_end_matches(['\r', '\n']).len()
}

fn beginning_of_key(text: &str) -> usize {
    let mut start = text.len();
    for line in text.split_inclusive('\n').rev() {
        if !is_of_key(line) || text.len() - start > LONGEST_KEY {
            break;
        }
        start -= line.len();
    }
    start
}

fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use proptest::prelude::*;

    static NET: LazyLock<PatternSet> = LazyLock::new(|| PatternSet::new().unwrap());

    fn caught(text: &str) -> String {
        NET.catch(text)
    }

    #[test]
    fn each_form_is_caught() {
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLWNhbmFyeQ";
        let aws = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        for (class, text) in [
            (ADDRESS, "connect to mongodb://u:canary@h:27017/x failed"),
            (ADDRESS, "connect to mongodb://u:can@ary@h,g/x failed"),
            (ADDRESS, "connect to postgres://u:canary/x?y#z@h/x failed"),
            (ADDRESS, "proxy=http://a:canary@h:1,https://b:canary@h:2"),
            (ADDRESS, "clone https://canary0123456789abcdef@github.com/a/b"),
            (AUTHORIZATION, "Authorization: Basic Y2FuYXJ5OmNhbmFyeQ== canary"),
            (AUTHORIZATION, r#"{"headers": "{\"Authorization\": \"Bearer canary/1\"}", "a": 1}"#),
            (AUTHORIZATION, "sent Bearer canary-canary to it"),
            (COOKIE, "Set-Cookie: ring-session=canary; Path=/"),
            (WEB_TOKEN, jwt),
            (AWS_KEY, "AKIACANARYCANARY1234"),
            (AWS_KEY, &format!("ASIACANARYCANARY1234 {aws}")),
            (NAMED, &format!("aws_secret_access_key = {aws}")),
            (NAMED, "DB_PASSWORD=canary"),
            (NAMED, "DB_PASSWORD=[redacted]-canary"),
            (NAMED, "DB_PASSWORD='a canary'"),
            (NAMED, r#"{"apiKey": "a \"canary\" b"}"#),
            (NAMED, r#"{:user "x", :password "canary"}"#),
            (NAMED, r#"said "{\"client_secret\": \"canary\"}" twice"#),
            (NAMED, "run --db-password canary --verbose"),
            (NAMED, "GET /x?access_token=canary&next=1"),
            (NAMED, r#"{"auths": {"q": {"auth": "Y2FuYXJ5OmNhbmFyeQ=="}}}"#),
            (TOKEN, "push with ghp_canary0123456789canary0123456789ab"),
        ] {
            let clean = caught(text);
            assert!(clean.contains(&marker(class)), "{text} became {clean}");
            for gone in ["canary", "Y2FuYXJ5", "c2lnbmF0dXJl", "CANARY", "wJalr"] {
                assert!(!clean.contains(gone), "{text} became {clean}");
            }
            assert_eq!(caught(&clean), clean, "a second time");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "FATAL: password authentication failed for user \"circle\"",
            "http://127.0.0.1:8082/status?a=b@c",
            "the token_count: 5, secrets: none, token=",
            "postgres://circle:[redacted]@h/circle and password=[redacted]",
            "user=circle host=h key: value monkey",
            "s3://bucket/prefix mailto:a@b.example",
            "aws ec2 modify-instance-metadata-options --instance-id ID --http-tokens required",
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        ] {
            assert_eq!(caught(text), text);
        }
    }

    #[test]
    fn a_private_key_goes_whole_however_it_is_written() {
        for text in [
            "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIcanary\ncanary==\n-----END RSA PRIVATE KEY-----\nb\n",
            r#"a "-----BEGIN PRIVATE KEY-----\nMIIcanary\ncanary==\n-----END PRIVATE KEY-----\n" b"#,
            "a\n12:00 app | -----BEGIN EC PRIVATE KEY-----\n12:00 app | MIIcanary\n12:00 app | canary\nb is not of it.\n",
            "a\nMIIcanary\ncanary==\n-----END RSA PRIVATE KEY-----\nb\n",
        ] {
            let clean = caught(text);
            assert!(!clean.contains("canary") && clean.contains(&marker(PRIVATE_KEY)), "{clean}");
            assert!(clean.starts_with('a') && clean.contains('b'), "{clean}");
            assert_eq!(
                caught(&clean).matches("[redacted").count(),
                clean.matches("[redacted").count(),
                "{clean}"
            );
        }
    }

    proptest! {
        #[test]
        fn whatever_a_log_holds_is_survived(text in "(://|@|:|-----BEGIN |-----END |PRIVATE KEY-----|\\PC{0,3}|\n|password=|AKIA|Bearer |\"){0,30}") {
            let _ = caught(&text);
        }
    }
}
