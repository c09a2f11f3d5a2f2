use super::*;
use proptest::prelude::*;

fn slips(text: &str) -> Vec<(usize, JsonError)> {
    read(text).slips.into_iter().map(|slip| (slip.at, slip.flaw)).collect()
}

fn as_serde(value: &Value) -> serde_json::Value {
    match &value.node {
        Node::Null => serde_json::Value::Null,
        Node::Bool(truth) => serde_json::Value::Bool(*truth),
        Node::Number(number) => serde_json::from_str(number).unwrap_or(serde_json::Value::Null),
        Node::String(text) => text.clone().into(),
        Node::Array(elements) => elements.iter().map(as_serde).collect(),
        Node::Object(members) => members.iter().map(|m| (m.key.clone(), as_serde(&m.value))).collect(),
    }
}

#[test]
fn each_slip_has_its_own_word_and_place() {
    for (text, expected) in [
        (r#"{"a": 1,}"#, vec![(7, JsonError::TrailingComma)]),
        (r#"{"a": [1, 2, ]}"#, vec![(11, JsonError::TrailingComma)]),
        ("{\"a\": 1\n\"b\": 2}", vec![(7, JsonError::MissingComma)]),
        (r#"{"a" 1}"#, vec![(4, JsonError::MissingColon)]),
        (
            "{ // note\n\"a\": 1 # b\n/* c */}",
            vec![(2, JsonError::Comment), (17, JsonError::Comment), (21, JsonError::Comment)],
        ),
        ("{'a': 1}", vec![(1, JsonError::SingleQuotes)]),
        ("{“a”: 1}", vec![(1, JsonError::CurlyQuotes)]),
        ("{a: 1}", vec![(1, JsonError::BareKey)]),
        (r#"{"a": True}"#, vec![(6, JsonError::BareWord)]),
        (r#"{"a": 01}"#, vec![(6, JsonError::Number)]),
        ("{\"a\": \"x\n}", vec![(6, JsonError::UnterminatedString)]),
        ("{\"a\": \"x\ty\"}", vec![(8, JsonError::ControlCharacter)]),
        (r#"{"a": "\x"}"#, vec![(7, JsonError::Escape)]),
        (r#"{"a": "\ud800"}"#, vec![(7, JsonError::Escape)]),
        (r#"{"a": 1, "a": 2}"#, vec![(9, JsonError::DuplicateKey)]),
        (r#"{"a": 1"#, vec![(7, JsonError::Truncated)]),
        (r#"{"a": 1} x"#, vec![(9, JsonError::Trailing)]),
        (r#"{"a": ;}"#, vec![(6, JsonError::Unexpected)]),
        ("", vec![(0, JsonError::Truncated)]),
        (
            r#"{"a": 1, b: 'c',}"#,
            vec![(9, JsonError::BareKey), (12, JsonError::SingleQuotes), (15, JsonError::TrailingComma)],
        ),
    ] {
        assert_eq!(slips(text), expected, "{text}");
    }
}

#[test]
fn deep_nesting_ends_in_a_slip() {
    assert_eq!(slips(&"[".repeat(100_000)), [(DEEPEST, JsonError::TooDeep)]);
    assert_eq!(slips(&r#"{"a":"#.repeat(100_000)), [(DEEPEST * 5, JsonError::TooDeep)]);
}

#[test]
fn reading_goes_on_after_a_slip() {
    let reading = read("{'a': {\"value\": 'x'},}");
    let Some(Value { node: Node::Object(members), .. }) = reading.value else { panic!() };
    assert_eq!(members[0].key, "a");
}

/// Pieces that make JSON, and near-JSON, likely.
fn nearly_json() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"b\\n\\u00e9\"",
        "\"\\ud83d\\ude00\"",
        "1",
        "-0.5e+3",
        "01",
        "true",
        "null",
        " ",
        "\n",
        "\"",
        "'",
        "\\",
        "x",
        "//",
        "\u{feff}",
        "\t",
        "“",
        "{\"k\":",
        "\"k\":1,",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "\\PC{0,8}|[\\x00-\\x1f\"\\\\]{0,4}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map("[a-d\"\\\\é]{0,3}", inner, 0..4)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_json_and_only_that_is_read_without_a_slip(text in nearly_json()) {
        let reading = read(&text);
        let duplicate = reading.slips.iter().any(|slip| slip.flaw == JsonError::DuplicateKey);
        // As a value, a number that no float can hold would be refused, which is no question of the grammar.
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        if !duplicate {
            prop_assert_eq!(reading.slips.is_empty(), is_json, "{:?}: {:?}", text, reading.slips);
        }
    }

    #[test]
    fn real_json_is_read_as_it_is(value in any_json(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let reading = read(&text);
        prop_assert_eq!(&reading.slips, &[]);
        prop_assert_eq!(as_serde(&reading.value.unwrap()), value);
    }

    #[test]
    fn any_text_is_survived(text in "\\PC*") {
        read(&text);
    }
}
