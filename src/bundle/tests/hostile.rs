//! Files that nobody wrote, and files that somebody wrote to do harm.

use std::time::Duration;

use proptest::prelude::*;

use super::{good, with};
use crate::bundle::secrets::found;
use crate::bundle::validate::validate_without_secrets;
use crate::bundle::{BundleFile, Finding};
use crate::cpu_time::cpu_time;

#[test]
fn hostile_files_end_soon() {
    let fill = |piece: &str| piece.repeat(1024 * 1024 / piece.len());
    for piece in [
        "\"",
        "{\"a\":",
        "“",
        "<ab> ",
        "://a:b@",
        "://",
        "x://",
        "mongodb://u:p@h:27017/db\n",
        "<a",
        "“\n",
        "\"password\":x ",
        "\"password\":\"x\",",
        "A=1\n",
        ". x\n",
        "A=$A$A\n",
        "A=$B ",
        "$(",
        "'",
        "${",
        "# x\n",
        "A=b&",
        "A_PASSWORD=x ",
        "-----BEGIN PRIVATE KEY-----\n",
        "mongodb://a:b@c,",
        "[0,",
        "\\\n",
        "A+=xxxxxxxx\n",
        "export A=$A$A\n",
        "`",
        "x ",
    ] {
        for file in [BundleFile::Settings, BundleFile::Replicated, BundleFile::Customizations] {
            let started = cpu_time();
            let fetched = with(file, format!("A=aaaaaaaa\n{}", fill(piece)));
            validate_without_secrets(&fetched);
            found(&fetched);
            let took = cpu_time() - started;
            assert!(took < Duration::from_secs(8), "{piece:?} in {file} took {took:?}");
        }
    }
}

#[test]
fn as_many_addresses_as_a_file_holds_end_soon() {
    for (start, end) in [("V", ""), ("CIRCLE_SECRETS_POSTGRES_V", "_URI")] {
        let line = |n: usize| format!("export {start}{n}{end}='postgres://u:p{n}pass@h:5432/d?x=y'\n");
        let text: String = (0..10_000).map(line).collect();
        let started = cpu_time();
        let found = validate_without_secrets(&with(BundleFile::Customizations, text));
        assert!(found.databases.len() <= 206 && found.findings.len() <= 200);
        let took = cpu_time() - started;
        assert!(took < Duration::from_secs(8), "{start} took {took:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_in_any_file_end_in_findings(bytes in prop::collection::vec(any::<u8>(), 0..400), which in 0usize..4) {
        let fetched = with(BundleFile::ALL[which], bytes);
        validate_without_secrets(&fetched);
        found(&fetched);
    }

    #[test]
    fn any_damage_to_a_good_file_ends_in_findings_in_order(
        which in 0usize..4, at in any::<prop::sample::Index>(), gone in 0usize..40, put in "[\\PC\n]{0,6}",
    ) {
        let file = BundleFile::ALL[which];
        let mut bytes = good().files[&file].clone();
        let at = at.index(bytes.len());
        let end = (at + gone).min(bytes.len());
        bytes.splice(at..end, put.into_bytes());
        let fetched = with(file, bytes);
        found(&fetched);
        let first = validate_without_secrets(&fetched);
        let places: Vec<_> = first.findings.iter().map(|finding| finding.position).collect();
        prop_assert!(places.is_sorted());
        // The words may differ: a secret that was learnt in between is scrubbed out of them.
        let facts = |findings: &[Finding]| -> Vec<_> {
            findings.iter().map(|finding| (finding.severity, finding.position, finding.cause.kind)).collect()
        };
        prop_assert_eq!(facts(&validate_without_secrets(&fetched).findings), facts(&first.findings));
    }
}
