//! Collects the program's own words, by which its sentences are told from the values that stand in them.
//!
//! Every word of every string literal in `src` goes into one sorted list, tests left out. A secret that is such a word
//! must not be taken out of the program's own sentences: see `src/secret/mod.rs`.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=src");
    let mut words = BTreeSet::new();
    for file in sources(Path::new("src"))? {
        let text = fs::read_to_string(&file)?;
        let text = without_tests(&text);
        literals(text, &mut |literal| collect(literal, &mut words));
        if file.ends_with("cli.rs") {
            // clap's help is made of doc comments.
            text.lines()
                .filter_map(|line| line.trim().strip_prefix("///"))
                .for_each(|line| collect(line, &mut words));
        }
    }
    let list: Vec<&str> = words.iter().map(String::as_str).collect();
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("words.txt"), list.join("\n"))?;
    Ok(())
}

fn sources(directory: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let is_test = name == "tests"
            || name.ends_with("_tests")
            || name.ends_with("_cases")
            || name.starts_with("against_");
        if is_test {
            continue;
        } else if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

/// A module of tests stands at the end of its file.
fn without_tests(text: &str) -> &str {
    let is_module = |at: &usize| {
        let line = text[*at..].lines().skip(1).find(|line| !line.starts_with("#["));
        line.is_some_and(|line| line.contains("mod ") && line.ends_with('{'))
    };
    let end = text.match_indices("#[cfg(test)]\n").map(|(at, _)| at).find(is_module);
    &text[..end.unwrap_or(text.len())]
}

/// Gives each string literal, escapes and all.
fn literals(text: &str, each: &mut dyn FnMut(&str)) {
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        at += if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(hashes) = raw_hashes(rest) {
            let open = 1 + hashes.len() + 1;
            let close = format!("\"{hashes}");
            let end = rest[open..].find(&close).map_or(rest.len(), |end| open + end);
            each(&rest[open..end]);
            (end + close.len()).min(rest.len())
        } else if c == '"' {
            let end = end_of_string(rest);
            each(&rest[1..end]);
            (end + 1).min(rest.len())
        } else if c == '\'' {
            character(rest)
        } else {
            c.len_utf8()
        };
    }
}

fn raw_hashes(rest: &str) -> Option<&str> {
    let after = rest.strip_prefix('r')?;
    let hashes = &after[..after.len() - after.trim_start_matches('#').len()];
    after[hashes.len()..].starts_with('"').then_some(hashes)
}

fn end_of_string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a character literal, or of the quote of a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => {
            rest[2..].char_indices().skip(1).find(|(_, c)| *c == '\'').map_or(1, |(at, _)| 2 + at + 1)
        }
        Some(_) => chars.next().filter(|(_, c)| *c == '\'').map_or(1, |(at, _)| at + 1),
        None => 1,
    }
}

/// The words of a literal, in lower case.
fn collect(literal: &str, words: &mut BTreeSet<String>) {
    // An escape must not become the first letter of a word.
    let plain = literal.replace("\\n", " ").replace("\\t", " ").replace("\\r", " ");
    let found = plain.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.extend(found.filter(|word| word.chars().any(char::is_alphabetic)).map(str::to_lowercase));
}
