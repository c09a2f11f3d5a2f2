//! Times as programs read them: each in whole seconds, which `jq`'s `fromdate` and every other reader takes, with the
//! same instant in milliseconds beside it; and how long something took, in seconds.
//!
//! `"started_at": "2026-11-25T10:24:01.123456Z"` is published as that to the second and `"started_ms"`; an object with a
//! begin and an end gets `"seconds"`.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// The keys of times, and of the same in milliseconds since 1970.
const TIMES: &[(&str, &str)] = &[
    ("switched_on_at", "switched_on_ms"),
    ("started_at", "started_ms"),
    ("ended_at", "ended_ms"),
    ("installer_ran_at", "installer_ran_ms"),
    ("installed_at", "installed_ms"),
    ("completed_at", "completed_ms"),
    ("acknowledged_at", "acknowledged_ms"),
    ("since", "since_ms"),
    ("until", "until_ms"),
    ("asked_at", "asked_ms"),
];

/// The keys of a begin and its end.
const SPANS: &[(&str, &str)] = &[("started_ms", "ended_ms"), ("since_ms", "until_ms")];

/// The key of how long it was between.
const SECONDS: &str = "seconds";

/// Lists of times, which are published to the second.
const LISTS: &[&str] = &["heartbeats"];

/// Rewrites every time of a value that was serialized as it is in memory.
pub(crate) fn publish(value: &mut Value) {
    walk(value, &|members| {
        for (at, ms) in TIMES {
            let Some(time) = members.get(*at).and_then(parse) else { continue };
            members.insert((*at).to_owned(), whole(time));
            members.insert((*ms).to_owned(), time.as_millisecond().into());
        }
        for list in LISTS {
            for item in members.get_mut(*list).and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(time) = parse(item) {
                    *item = whole(time);
                }
            }
        }
        for (begin, end) in SPANS {
            let at = |key: &str| members.get(key).and_then(Value::as_i64);
            if let (Some(begin), Some(end)) = (at(begin), at(end)) {
                // Milliseconds of a boot are far from the 2^53 that a double holds exactly.
                let seconds = (end - begin).max(0) as f64 / 1000.0;
                members.insert(SECONDS.to_owned(), seconds.into());
            }
        }
    });
}

/// Takes back what [`publish`] did, to the millisecond.
pub(super) fn restore(value: &mut Value) {
    walk(value, &|members| {
        for (at, ms) in TIMES {
            let exact = members.remove(*ms).as_ref().and_then(Value::as_i64);
            if let Some(time) = exact.and_then(|exact| Timestamp::from_millisecond(exact).ok())
                && members.contains_key(*at)
            {
                members.insert((*at).to_owned(), time.to_string().into());
            }
        }
        members.remove(SECONDS);
    });
}

fn walk(value: &mut Value, change: &impl Fn(&mut Map<String, Value>)) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, change)),
        Value::Object(members) => {
            change(members);
            members.values_mut().for_each(|member| walk(member, change));
        }
        _ => {}
    }
}

fn parse(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

fn whole(time: Timestamp) -> Value {
    // Truncated, not rounded: a time must not be in the future.
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_whole_seconds_and_nothing_is_lost_to_the_millisecond() {
        let mut value = json!({ "stages": [{
            "started_at": "2026-11-25T10:24:01.250000001Z", "ended_at": "2026-11-25T10:24:03.999Z",
            "waits": [{ "since": "2026-11-25T10:24:01.5Z", "until": "2026-11-25T10:24:01.75Z" }],
        }], "heartbeats": ["2026-11-25T10:24:01.5Z"] });
        publish(&mut value);
        let stage = &value["stages"][0];
        assert_eq!(
            (&stage["started_at"], &stage["ended_at"]),
            (&"2026-11-25T10:24:01Z".into(), &"2026-11-25T10:24:03Z".into())
        );
        assert_eq!((&stage["seconds"], &stage["waits"][0]["seconds"]), (&2.749.into(), &0.25.into()));
        assert_eq!(value["heartbeats"][0], "2026-11-25T10:24:01Z");
        restore(&mut value);
        let stage = &value["stages"][0];
        assert_eq!(
            (&stage["started_at"], &stage["ended_at"]),
            (&"2026-11-25T10:24:01.25Z".into(), &"2026-11-25T10:24:03.999Z".into())
        );
        assert_eq!(stage.get("seconds"), None);
        // What an older agent wrote stands as it is.
        let old = json!({ "started_at": "2026-11-25T10:24:01.25Z", "ended_at": null });
        let mut read = old.clone();
        restore(&mut read);
        assert_eq!(read, old);
    }
}
