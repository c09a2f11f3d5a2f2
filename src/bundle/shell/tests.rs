use super::*;

fn known(text: &str, name: &str) -> String {
    match read(text).value(name) {
        Value::Known(value) => value,
        Value::Unset => panic!("{name} is unset by {text:?}"),
        Value::Unknown(unknown) => panic!("{name} is unknown by {text:?}: {}", unknown.what),
    }
}

fn unknown(text: &str, name: &str) -> What {
    match read(text).value(name) {
        Value::Unknown(unknown) => unknown.what,
        _ => panic!("{name} is no unknown of {text:?}"),
    }
}

#[test]
fn values_are_what_bash_makes_of_them() {
    for (text, value) in [
        ("A=x", "x"),
        ("A=", ""),
        ("A='it is $5'", "it is $5"),
        (r#"B=7; A="it is $B\$ \" \a""#, r#"it is 7$ " \a"#),
        (r#"B=y; A=x"$B z"'$B'\ "#, "xy z$B "),
        ("A=1\nA=2", "2"),
        ("A=1 A=2$A", "21"),
        ("A=1\nexport A=2 B=$A", "2"),
        ("A=x \\\n B=y", "x"),
        ("A=x#y # z", "x#y"),
        ("A=$UNHEARD_OF-", "-"),
        ("A={1,2}*?[a]", "{1,2}*?[a]"),
        ("A=x\nA+=y", "xy"),
        ("export A\nA=x", "x"),
        ("A=x; echo hi; curl -s url | sh", "x"),
        ("A=x B=$(hostname) C=`id`", "x"),
        ("A=x\nA=y true", "x"),
        ("source ./x\nA=x", "x"),
    ] {
        assert_eq!(known(text, "A"), value, "{text}");
    }
    assert_eq!(known("A=1\nexport A=2 B=$A", "B"), "1");
}

#[test]
fn what_cannot_be_known_is_named() {
    for (text, what) in [
        ("A=$(hostname)", What::CommandSubstitution),
        ("A=`hostname`", What::CommandSubstitution),
        ("A=$((1+2))", What::Arithmetic),
        ("A=${B:-x}", What::Expansion),
        ("A=$1", What::Parameter),
        ("A=$'x'", What::AnsiCQuotes),
        ("A=$\"x\"", What::LocaleQuotes),
        ("A=~/x", What::Tilde),
        ("A=x:~", What::Tilde),
        ("export A={x,y}", What::Braces),
        ("A=(x y)", What::Array),
        ("A[1]=x", What::Array),
        ("A() { x; }", What::Parenthesis),
        ("A=x\ncat <<E\nA=y\nE", What::HereDocument),
        ("A=x > /tmp/y", What::Redirection),
        ("A=x &", What::Background),
        ("A=x && B=y", What::Condition),
        ("A=x | B=y", What::Condition),
        ("A=\u{1}", What::ControlCharacter),
        ("A=x\nif true; then A=y; fi", What::Keyword("if".into())),
        ("A=x\neval A=y", What::Command("eval".into())),
        ("A=x\n. ./y", What::Command(".".into())),
        ("A=x\n$B y", What::ComputedCommand),
        ("A=$HOME", What::Inherited("HOME".into())),
        ("A=x\nB='", What::Syntax("a single quote that is never closed")),
        ("B=$(hostname)\nA=\"x$B\"", What::CommandSubstitution),
    ] {
        assert_eq!(unknown(text, "A"), what, "{text}");
    }
}

#[test]
fn places_lead_into_the_assignment_that_holds_the_text() {
    let text = "BASE='ab'cd\nexport URI=\"$BASE/ef\"";
    let reading = read(text);
    let uri = &reading.variables()["URI"];
    assert_eq!(uri.value, Value::Known("abcd/ef".to_owned()));
    let places: Vec<_> = (0..7).map(|offset| &text[uri.place(offset)..=uri.place(offset)]).collect();
    assert_eq!(places.concat(), "abcd/ef");
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Value::Known(value) => value,
            Value::Unset => "unset",
            Value::Unknown(_) => "unknown",
        })
    }
}
