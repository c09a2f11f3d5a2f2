//! The list and the explanations, held against each other, against the sources and against what was published.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::explanation::sections;
use super::*;
use crate::cause::{Cause, Class};

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Set to write the generated files again.
fn regenerates() -> bool {
    std::env::var_os("REGENERATE").is_some()
}

const HOW: &str = "run: REGENERATE=1 cargo test --lib kind::";

#[test]
fn every_kind_is_listed_in_its_area_and_in_order() {
    for area in Area::ALL {
        for kind in area.kinds() {
            assert_eq!(kind.as_str().split_once('.').map(|(area, _)| area), Some(area.as_str()), "{kind}");
            assert_eq!(kind.area(), *area);
            let mut name = String::new();
            for word in kind.as_str().split(['.', '_']) {
                name.push_str(&word[..1].to_uppercase());
                name.push_str(&word[1..]);
            }
            assert_eq!(format!("{kind:?}"), name);
        }
        assert!(area.kinds().is_sorted_by_key(|kind| kind.as_str()), "{area}");
    }
    assert!(Area::ALL.is_sorted_by_key(|area| area.as_str()));
    assert_eq!(Kind::ALL.iter().collect::<BTreeSet<_>>().len(), Kind::ALL.len());
}

#[test]
fn every_kind_is_explained_in_all_parts() {
    for area in Area::ALL {
        let explained: Vec<&str> = sections(area.text()).map(|(name, _)| name).collect();
        let listed: Vec<&str> = area.kinds().iter().map(|kind| kind.as_str()).collect();
        assert_eq!(
            explained, listed,
            "the sections of src/kind/text/{area}.md are the kinds of the list, in order"
        );
    }
    for kind in Kind::ALL {
        let explanation = kind.explanation();
        let meaning = explanation.meaning;
        assert!(
            meaning.ends_with('.') && meaning.len() < 110 && !meaning.contains('\n'),
            "{kind}: {meaning:?}"
        );
        for (label, part) in explanation.parts() {
            assert!(Piece::of(part).next().is_some(), "{kind} has no \"{label}:\"");
            assert!(!part.contains('\t') && !part.contains("\n  \n"), "{kind}: {label}");
            for other in ["Detected:", "Causes:", "Confirm:", "Fix:"] {
                assert!(!part.contains(&format!("\n{other}")), "{kind}: {other} stands in {label}");
            }
        }
    }
}

/// What was published once is matched on by scripts and stands in records.
#[test]
fn no_kind_disappears() {
    let path = project().join("tests/kinds.txt");
    let known = fs::read_to_string(&path).unwrap_or_default();
    let known: BTreeSet<&str> = known.lines().collect();
    let listed: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    let gone: Vec<_> = known.difference(&listed).collect();
    assert!(gone.is_empty(), "kinds are never renamed or removed; missing: {gone:?}");
    if regenerates() {
        let all: Vec<&str> = known.union(&listed).copied().collect();
        fs::write(&path, all.join("\n") + "\n").unwrap();
    } else {
        let new: Vec<_> = listed.difference(&known).collect();
        assert!(new.is_empty(), "not in tests/kinds.txt: {new:?}; {HOW}");
    }
}

#[test]
fn the_page_of_causes_is_the_list() {
    let path = project().join("docs/causes.md");
    let page = crate::explain::markdown();
    if regenerates() {
        fs::write(&path, page).unwrap();
    } else {
        assert!(
            fs::read_to_string(&path).unwrap_or_default() == page,
            "docs/causes.md is not up to date; {HOW}"
        );
    }
}

/// The sources without their tests, each with its path below src.
fn sources() -> Vec<(String, String)> {
    let mut directories = vec![project().join("src")];
    let mut found = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            let name = path.strip_prefix(project()).unwrap().display().to_string();
            let is_test = ["test", "_cases.rs"].iter().any(|word| name.contains(word));
            if path.is_dir() {
                directories.push(path);
            } else if name.ends_with(".rs") && !is_test && !name.starts_with("src/kind/") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("\n#[cfg(test)]\n#[allow").next().unwrap();
                let code = code.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
                found.push((name, code.to_owned()));
            }
        }
    }
    assert!(found.len() > 100);
    found
}

/// Checks whose ids read like a kind.
const CHECKS: [&str; 3] = ["app.health", "app.log", "bundle.drift"];

#[test]
fn the_sources_name_kinds_by_their_type() {
    for (name, code) in sources() {
        for kind in Kind::ALL.iter().filter(|kind| !CHECKS.contains(&kind.as_str())) {
            assert!(
                !code.contains(&format!("\"{kind}\"")),
                "{name} has the text \"{kind}\": write Kind::{kind:?}"
            );
        }
        for area in Area::ALL {
            assert!(
                !code.contains(&format!("starts_with(\"{area}.")),
                "{name} matches on the text of an area"
            );
        }
    }
}

#[test]
fn causes_are_made_with_a_class_of_the_list() {
    let mut made = 0;
    for (name, code) in sources() {
        for (constructor, class) in
            [("config", Class::Config), ("host", Class::Host), ("external", Class::External)]
        {
            for call in code.split(&format!("Cause::{constructor}(")).skip(1) {
                let Some(variant) = call.trim_start().strip_prefix("Kind::") else { continue };
                let end = variant.find(|c: char| !c.is_ascii_alphanumeric()).unwrap();
                let kind = Kind::ALL.iter().find(|kind| format!("{kind:?}") == variant[..end]).unwrap();
                assert!(
                    kind.classes().contains(&class),
                    "{name} makes {kind} with the class {class}, which src/kind/list.rs does not give it"
                );
                made += 1;
            }
        }
    }
    assert!(made > 300, "{made}");
}

#[test]
fn a_record_with_an_unknown_kind_is_read() {
    let text = r#"{"kind":"quantum.entangled","class":"host","sentence":"It is.","next_step":"Wait."}"#;
    let cause: Cause = serde_json::from_str(text).unwrap();
    assert_eq!(cause.kind, Kind::CauseUnknown);
    assert_eq!(cause.evidence[0].value, "quantum.entangled");
    let again: Cause = serde_json::from_str(&serde_json::to_string(&cause).unwrap()).unwrap();
    assert_eq!(again, cause);
}
