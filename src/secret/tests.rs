use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use proptest::prelude::*;

fn knowing(secrets: &[&str]) -> Secrets {
    let known = Secrets::default();
    known.register_all(secrets.iter().copied());
    known
}

fn percent(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn hexadecimal(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_form_of_a_secret_is_replaced() {
    let secret = "p@ss/w:rd \"x\" <é>&'";
    let secrets = knowing(&[secret]);
    let half = secret.char_indices().nth(6).unwrap().0;
    let (first, second) = secret.split_at(half);
    for form in [
        secret.to_owned(),
        percent(secret),
        percent(secret).to_lowercase().replace("%c3", "%C3"),
        percent(&percent(secret)),
        // Only what must be.
        "p%40ss%2Fw:rd%20%22x%22%20%3C%C3%A9%3E%26'".to_owned(),
        "p%40ss%2Fw%3Ard+%22x%22+%3C%C3%A9%3E%26%27".to_owned(),
        serde_json::to_string(secret).unwrap().trim_matches('"').to_owned(),
        "p\\u0040ss\\/w:rd \\\"x\\\" \\u003c\\u00e9\\u003E\\u0026'".to_owned(),
        "p@ss/w:rd &quot;x&quot; &lt;é&gt;&amp;&apos;".to_owned(),
        "p&#64;ss/w:rd &#34;x&#x22; &#60;&#xe9;&#x3E;&#38;&#39;".to_owned(),
        STANDARD.encode(secret),
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE.encode(secret),
        STANDARD.encode(format!("circle:{secret}")),
        STANDARD.encode(format!("me:{secret} and more")),
        URL_SAFE.encode(format!("u:{secret}")),
        hexadecimal(secret),
        hexadecimal(secret).to_uppercase(),
        format!("{first}\n{second}"),
        format!("{first}\r\n    {second}"),
        format!("{first}\\\n{second}"),
        format!("{first}\u{1b}[0;1m{second}"),
        format!("{first}\u{200b}{second}"),
    ] {
        let clean = secrets.scrub(&format!("a ({form}) b")).into_owned();
        assert_eq!(clean, format!("a ({REDACTED}) b"), "{form}");
        assert_eq!(secrets.scrub(&clean), clean);
    }
}

#[test]
fn a_secret_given_encoded_is_known_decoded() {
    let secrets = knowing(&["enc%2Foded-canary"]);
    assert_eq!(secrets.scrub("enc/oded-canary enc%252Foded-canary"), format!("{REDACTED} {REDACTED}"));
}

#[test]
fn an_encoding_that_is_wrapped_or_long_goes_whole() {
    let secret = "0123456789abcdefghijklmnopqrstuvwxyz".repeat(20);
    let secrets = knowing(&[&secret]);
    let encoded = STANDARD.encode(&secret);
    let lines: Vec<&str> =
        encoded.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    for text in [encoded.clone(), hexadecimal(&secret)] {
        assert_eq!(secrets.scrub(&format!("a {text} b")), format!("a {REDACTED} b"));
    }
    assert_eq!(secrets.scrub(&format!("a\n{}\nb", lines.join("\n"))), format!("a\n{REDACTED}\nb"));
    // What follows on the next line is not a part of it.
    let secrets = knowing(&["short-secret"]);
    let text = format!("a {}\nnext", STANDARD.encode("short-secret"));
    assert_eq!(secrets.scrub(&text), format!("a {REDACTED}\nnext"));
}

#[test]
fn a_short_secret_is_replaced_as_a_word_only() {
    let secrets = knowing(&["zq7", "qj", "jw-longer-canary"]);
    assert_eq!(secrets.scrub("password=zq7;"), format!("password={REDACTED};"));
    assert_eq!(secrets.scrub("azq7b"), "azq7b");
    assert_eq!(secrets.scrub("xqjw-longer-canary"), format!("xq{REDACTED}"));
}

#[test]
fn secrets_that_overlap_go_whole() {
    assert_eq!(knowing(&["abcdef", "defghi"]).scrub("x abcdefghi y"), format!("x {REDACTED} y"));
    assert_eq!(knowing(&["abcdefgh", "cdef"]).scrub("x abcdefgh y"), format!("x {REDACTED} y"));
}

#[test]
fn each_line_of_a_key_is_a_secret() {
    let secrets = knowing(&["-----BEGIN KEY-----\nMIIcanaryline1\nMIIcanaryline2\n-----END KEY-----\n"]);
    assert_eq!(secrets.scrub("MIIcanaryline2"), REDACTED);
    assert_eq!(secrets.scrub("-----BEGIN KEY-----"), "-----BEGIN KEY-----");
}

#[test]
fn words_of_the_program_stay_in_its_sentences_and_go_from_the_words_of_others() {
    let secrets = knowing(&["refused", "error", "a", "password", "the server"]);
    let sentence = "settings.conf: error: the server refused a password [tcp.refused, external]";
    assert_eq!(secrets.own(sentence), sentence);
    assert_eq!(secrets.foreign("it refused"), format!("it {REDACTED}"));
    // In the place of a value, also there.
    let shown = format!("http://circle:{REDACTED}@host, password={REDACTED}, {REDACTED}@host");
    assert_eq!(secrets.own("http://circle:refused@host, password=refused, refused@host"), shown);
    assert_eq!(knowing(&["x-canary"]).own("the server x-canary"), format!("the server {REDACTED}"));
    assert_eq!(knowing(&["canary"]).own("the canaryserver"), format!("the {REDACTED}server"));
}

#[test]
fn control_characters_are_shown_and_do_nothing() {
    let secrets = Secrets::default();
    let text = "a\u{1b}[31mred\rb\u{9b}2Jc\u{202e}d\u{7}\u{200b}\r\ne\tf";
    let shown = "a\\u{1b}[31mred\\rb\\u{9b}2Jc\\u{202e}d\\u{7}\\u{200b}\ne\tf";
    assert_eq!(secrets.foreign(text), shown);
    assert_eq!(secrets.own(text), shown);
    assert_eq!(secrets.own(shown), shown);
    // Shown, they still split no secret.
    assert_eq!(knowing(&["split-canary"]).foreign("split\\u{1b}[0m-canary"), REDACTED);
}

#[test]
fn thousands_of_secrets_are_registered_and_looked_for_in_no_time() {
    let secrets = Secrets::default();
    for number in 0..20_000 {
        secrets.register(&format!("registered-{number}"));
    }
    let text = "://".repeat(1 << 18);
    assert_eq!(secrets.scrub(&text), text);
    assert_eq!(secrets.scrub("registered-19999"), REDACTED);
    let periodic = "a".repeat(1 << 18);
    assert_eq!(knowing(&["a".repeat(4096).as_str()]).scrub(&periodic), REDACTED);
    let run = STANDARD.encode("canary-one ".repeat(10_000));
    assert_eq!(knowing(&["canary-one"]).scrub(&run), REDACTED);
}

#[test]
fn what_a_process_is_given_is_known() {
    let secrets = Secrets::default();
    let strings = |words: &[&str]| words.iter().map(std::ffi::OsString::from).collect::<Vec<_>>();
    let arguments = strings(&[
        "probe",
        "--uri",
        "mongodb://u:arg/can@ary1@h/db",
        "--password",
        "canary2",
        "--api-key=canary3",
    ]);
    let environment = [
        ("AWS_ENDPOINT_URL_S3", "https://token-canary4@h:9000/x?sig=canary5&X-Amz-Signature=canary6"),
        ("DOCKER_HOST", "tcp://me:canary7@h:2376"),
        ("AWS_SECRET_ACCESS_KEY", "canary8"),
        ("BOOT_AGENT_INSTALL_ARGUMENTS", "no-proxy daemon-token=canary9"),
        ("HTTPS_PROXY", "http://u:canary%310@h"),
        ("SOME_TOKEN", "true"),
        ("TLS_KEY", "/etc/key.pem"),
    ];
    let environment = environment.map(|(name, value)| (name.into(), value.into()));
    secrets.register_process(arguments.into_iter(), environment.into_iter());
    for number in (2..10).filter(|number| *number != 4) {
        assert!(secrets.is_in(&format!("x canary{number} y")), "{number}");
    }
    for known in ["arg/can@ary1", "token-canary4", "canary10"] {
        assert!(secrets.is_in(&format!("x {known} y")), "{known}");
    }
    secrets.register_text("htp:/u:canary14@h me:canary15@h");
    assert!(secrets.is_in("canary14") && secrets.is_in("canary15") && !secrets.is_in("me"));
    assert!(!secrets.is_in("true /etc/key.pem no-proxy"));
    secrets.register_text("[install]\nurl = \"https://h/x?token=canary11\"\narguments = [\"daemon-token=canary12\"]\nx_password = 'canary13'");
    for known in ["canary11", "canary12", "canary13"] {
        assert!(secrets.is_in(&format!("x {known} y")), "{known}");
    }
}

#[test]
fn an_url_is_shown_without_what_may_be_secret() {
    for (text, shown) in [
        ("https://h:8080/a/b?v=2.38.6&check=true", "https://h:8080/a/b?v=2.38.6&check=true"),
        ("https://u:p@h/a", "https://[redacted]@h/a"),
        ("https://u:p/q@r@h/a", "https://[redacted]@h/a"),
        ("https://token@h", "https://[redacted]@h"),
        ("http://u:pass", "http://[redacted]"),
        ("http://h/@scope/a", "http://h/@scope/a"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
        (
            "https://h/?X-Amz-Signature=abc&Expires=900#frag=x",
            "https://h/?X-Amz-Signature=[redacted]&Expires=900",
        ),
        ("https://h/?opaque-token", "https://h/?[redacted]"),
        ("s3://bucket/prefix", "s3://bucket/prefix"),
        ("file:///a/b#1", "file:///a/b#1"),
        ("u:p@h:2375", "[redacted]@h:2375"),
    ] {
        assert_eq!(url::shown(text), shown);
        assert_eq!(url::shown(shown), shown, "a second time");
    }
}

/// Everything that an output may be made of, with a word of the program in each place.
fn specimen() -> crate::record::Record {
    use crate::cause::Cause;
    use crate::console::StageOutcome;
    use crate::kind::Kind;
    use crate::record::{BootOutcome, Instance, LifecycleRecord, Record, StageRecord, Wait};
    use jiff::Timestamp;
    let now = Timestamp::UNIX_EPOCH;
    let mut instance = Instance::new("i-0123456789abcdef0");
    instance.region = Some("eu-west-1".to_owned());
    instance.installed_at = Some(now);
    instance.completed_at = Some(now);
    let mut record = Record::begin("s3://ha-bucket/services-box".to_owned(), Some(instance));
    record.outcome = BootOutcome::InService;
    record.lifecycle = Some(LifecycleRecord {
        group: "group".to_owned(),
        hook: Some("hook".to_owned()),
        heartbeat_timeout_seconds: Some(30),
        result: Some("CONTINUE".to_owned()),
        acknowledged_at: Some(now),
        heartbeats: vec![now],
    });
    for (kind, stage) in
        Kind::ALL.iter().zip(["identity", "fetch", "validate", "place", "install", "ready"].iter().cycle())
    {
        let cause = Cause::new(kind.classes()[0], *kind, "The server refused the connection.", "Wait.")
            .with("error", "it failed");
        record.warnings.push(cause.clone());
        record.stages.push(StageRecord {
            name: (*stage).to_owned(),
            outcome: StageOutcome::Done,
            started_at: now,
            ended_at: Some(now),
            detail: "answered".to_owned(),
            cause: Some(cause.clone()),
            waits: vec![Wait { cause, since: now, until: now }],
        });
    }
    record
}

/// What a later boot decides by, which no secret changes.
fn bones(record: &crate::record::Record) -> serde_json::Value {
    let mut value = record.to_json();
    fn strip(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(members) => {
                let is_text = |name: &str| ["sentence", "next_step", "detail", "value"].contains(&name);
                members.iter_mut().filter(|(name, _)| is_text(name)).for_each(|(_, text)| *text = "".into());
                members.values_mut().for_each(strip);
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut value);
    value
}

fn survives(secret: &str, specimen: &crate::record::Record, bones_before: &serde_json::Value) {
    let secrets = knowing(&[secret]);
    let mut record = specimen.clone();
    record.scrub(&secrets);
    let read: crate::record::Record = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
    assert_eq!(&bones(&read), bones_before, "{secret:?}");
    let mut twice = record.clone();
    twice.scrub(&secrets);
    assert_eq!(twice, record, "{secret:?}");
}

#[test]
fn no_word_of_the_program_as_a_secret_changes_its_data_or_its_sentences() {
    let mut specimen = specimen();
    specimen.stages.truncate(3);
    specimen.warnings.truncate(3);
    let bones_before = bones(&specimen);
    let sentence = "The server refused the connection. [tcp.refused, external] Look at agent status.";
    let kinds = crate::kind::Kind::ALL.iter().map(|kind| kind.as_str());
    let others = [
        "redacted",
        "[redacted]",
        "[redacted",
        "{",
        "\":",
        "\",\"outcome\":\"failed\"",
        "null",
        "1",
        "a",
        " ",
        "i-0123456789abcdef0",
        "s3://ha-bucket/services-box",
    ];
    let mut tried = 0;
    for word in own_words().iter().copied().chain(kinds).chain(others) {
        survives(word, &specimen, &bones_before);
        if word.chars().all(|c| c.is_alphanumeric() || "._".contains(c)) && word != "redacted" {
            assert_eq!(knowing(&[word]).own(sentence), sentence, "{word}");
        }
        tried += 1;
    }
    assert!(tried > 2500, "{tried}");
}

proptest! {
    #[test]
    fn no_secret_changes_data_and_scrubbing_twice_changes_nothing(
        secrets in proptest::collection::vec("(\\PC{1,12}|[a-z]{1,3}|[\\]\\[\":{},a-d]{1,6}|redacted|\\[redacted)", 1..4),
        text in "(\\PC{0,20}|[a-d\\[\\]\":%\\\\&\n]{0,30}|\\[redacted\\]){1,6}",
    ) {
        let specimen = { let mut it = specimen(); it.stages.truncate(1); it.warnings.truncate(1); it };
        let before = bones(&specimen);
        let known = Secrets::default();
        known.register_all(secrets.iter().map(String::as_str));
        for secret in &secrets {
            survives(secret, &specimen, &before);
        }
        let once = known.foreign(&text);
        prop_assert_eq!(known.foreign(&once), once);
        let once = known.own(&text);
        prop_assert_eq!(known.own(&once), once);
    }

    #[test]
    fn a_secret_never_survives_in_any_form(
        secret in "[!-~é]{6,40}", before in "[a-z .:/]{0,20}", after in "[a-z .:/]{0,20}", form in 0..6usize, at in 1..6usize,
    ) {
        prop_assume!(secret.is_char_boundary(at));
        // Split, an escape is another.
        prop_assume!(form != 5 || !secret.contains(['\\', '%', '&']));
        let written = match form {
            0 => secret.clone(),
            1 => percent(&secret),
            2 => percent(&percent(&secret)),
            3 => STANDARD.encode(format!("{before}{secret}{after}")),
            4 => hexadecimal(&secret),
            _ => format!("{}\n{}", &secret[..at], &secret[at..]),
        };
        let clean = knowing(&[&secret]).scrub(&format!("{before} {written} {after}")).into_owned();
        prop_assert!(clean.contains(REDACTED), "{clean}");
        prop_assert!(!clean.contains(&written), "{clean}");
    }

    #[test]
    fn no_text_breaks_it(secret in "\\PC{1,20}", text in "(\\PC|[%\\\\&#ux0-9a-f;{}\n\r\u{1b}\\[]){0,80}") {
        let known = knowing(&[&secret, "abc"]);
        let _ = (known.foreign(&text), known.own(&text), known.may_go_on_after(&text), visible(&text));
        let _ = (url::shown(&text), known.register_text(&text));
    }
}
