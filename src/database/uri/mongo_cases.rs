//! Every case of `mongo_cases.tsv`.
#![allow(clippy::unwrap_used, clippy::panic)]

use percent_encoding::percent_decode_str;

use super::java;
use super::mongo::{MongoUri, Seeds, parse};

const CASES: &str = include_str!("mongo_cases.tsv");

#[test]
fn each_is_read_as_the_drivers_read_it_or_as_was_decided() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in CASES.lines().filter(|line| !line.starts_with("# ") && *line != "#") {
        let fields: Vec<&str> = line.split('\t').collect();
        let [text, spec, agent, decision, meant, old] = fields[..] else { panic!("not six fields: {line}") };
        count += 1;
        wrong.extend(judged(text, spec, agent, decision, meant).err().map(|why| format!("{text}: {why}")));
        wrong.extend(as_old(text, old).err().map(|why| format!("{text}: the old driver: {why}")));
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 200, "{count}");
}

fn judged(text: &str, spec: &str, agent: &str, decision: &str, meant: &str) -> Result<(), String> {
    let outcome = parse(text);
    if let Some(words) = agent.strip_prefix("! ") {
        let Err(error) = outcome else { return Err(format!("understood as {outcome:?}")) };
        if !error.sentence.contains(words) {
            return Err(error.sentence);
        }
        return if ["invalid", "-"].contains(&spec) || decision != "-" {
            Ok(())
        } else {
            Err("nobody decided".to_owned())
        };
    }
    let uri = outcome.map_err(|error| error.sentence)?;
    let kinds: Vec<&str> = uri.warnings.iter().map(|warning| warning.kind.as_str()).collect();
    let kinds = if kinds.is_empty() { "=".to_owned() } else { format!("~ {}", kinds.join(",")) };
    if kinds != agent {
        return Err(format!("warnings {kinds}"));
    }
    let agrees = match spec {
        "valid" => agent == "=",
        "warning" => agent != "=",
        "invalid" => false,
        _ => true,
    };
    if !agrees && decision == "-" {
        return Err("nobody decided".to_owned());
    }
    for pair in meant.split(' ').filter(|pair| *pair != "-") {
        let (name, value) = pair.split_once('=').unwrap();
        same(name, value, &of_today(&uri, name))?;
    }
    Ok(())
}

fn same(name: &str, expected: &str, found: &str) -> Result<(), String> {
    let expected = percent_decode_str(expected).decode_utf8().unwrap();
    if expected == found { Ok(()) } else { Err(format!("{name} is {found}, not {expected}")) }
}

fn of_today(uri: &MongoUri, name: &str) -> String {
    let credentials = uri.credentials.as_ref();
    let found = match name {
        "hosts" => match &uri.seeds {
            Seeds::Servers(servers) => {
                Some(servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
            }
            Seeds::Srv { name, .. } => Some(name.clone()),
        },
        "user" => credentials.and_then(|it| it.user.clone()),
        "password" => credentials.and_then(|it| Some(it.password.as_ref()?.expose().to_owned())),
        "source" => credentials.map(|it| it.source.clone()),
        "mechanism" => credentials.and_then(|it| it.mechanism).map(str::to_owned),
        "db" => uri.database.clone(),
        "set" => uri.replica_set.clone(),
        "tls" => Some(on(uri.tls.on)),
        other => panic!("{other}"),
    };
    found.unwrap_or_default()
}

fn on(is_on: bool) -> String {
    if is_on { "on" } else { "off" }.to_owned()
}

fn as_old(text: &str, old: &str) -> Result<(), String> {
    let outcome = java::read(text);
    if let Some(reason) = old.strip_prefix("! ") {
        let found = outcome.map_or_else(|refusal| format!("{refusal:?}"), |reading| format!("{reading:?}"));
        return if found == reason { Ok(()) } else { Err(found) };
    }
    let reading = outcome.map_err(|refusal| format!("throws {refusal:?}"))?;
    let found = |name: &str| match name {
        "user" => reading.user.clone().unwrap_or_default(),
        "password" => reading.password.clone().unwrap_or_default(),
        "source" => reading.source.clone(),
        "set" => reading.replica_set.clone().unwrap_or_default(),
        "db" => reading.database.clone().unwrap_or_default(),
        "tls" => on(reading.tls),
        other => panic!("{other}"),
    };
    let different: Vec<(&str, &str)> = old.split(' ').filter_map(|pair| pair.split_once('=')).collect();
    for (name, value) in &different {
        same(name, value, &found(name))?;
    }
    let Ok(uri) = parse(text) else { return Ok(()) };
    let of_credentials = |name: &str| ["user", "password", "source"].contains(&name);
    for name in ["user", "password", "source", "set", "db", "tls"] {
        let is_told = different.iter().any(|(told, _)| *told == name);
        if !is_told
            && (uri.credentials.is_some() || !of_credentials(name))
            && reading.user.is_some() == uri.credentials.is_some()
        {
            same(
                name,
                &percent_encoding::utf8_percent_encode(
                    &of_today(&uri, name),
                    percent_encoding::NON_ALPHANUMERIC,
                )
                .to_string(),
                &found(name),
            )?;
        }
    }
    Ok(())
}
