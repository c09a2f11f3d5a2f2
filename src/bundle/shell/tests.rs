use super::*;

fn known(text: &str, name: &str) -> String {
    match read(text).value(name) {
        Value::Known(value) => value,
        Value::Unset => panic!("{name} is unset by {text:?}"),
        Value::Unknown(unknown) => panic!("{name} is unknown by {text:?}: {}", unknown.what),
    }
}

fn unknown(text: &str, name: &str) -> Construct {
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
        ("A=x > /tmp/y", "x"),
        ("A=mongodb://u:<password>@h", "mongodb://u:"),
        ("A=x && B=y", "x"),
        ("B=y && A=x || A=z", "x"),
        ("false && A=y; A=x", "x"),
        ("false || A=x", "x"),
        ("A=x\nA=y &", "x"),
        ("A=x\neval A=y &", "x"),
        ("A=x\nA=y | B=z", "x"),
        ("A=x\nset A=y", "x"),
        ("A=x\nset -a A=y", "x"),
        ("A=x\nexport A = y", "x"),
        ("A=x\nexport A =y", "x"),
        ("A=x\nexport A = mongodb://u:p@h/d?x=1", "x"),
        ("export A= y", ""),
        ("export A=x b/c", "x"),
        ("A=x\n$A=y", "x"),
        ("A=x\nA: y", "x"),
        ("A=x;b=y", "x"),
        ("export A=p{w}d", "p{w}d"),
        ("A=x\\", "x\\"),
    ] {
        assert_eq!(known(text, "A"), value, "{text}");
    }
    assert_eq!(known("A=1\nexport A=2 B=$A", "B"), "1");
}

#[test]
fn what_cannot_be_known_is_named() {
    for (text, what) in [
        ("A=$(hostname)", Construct::CommandSubstitution),
        ("A=`hostname`", Construct::CommandSubstitution),
        ("A=$((1+2))", Construct::Arithmetic),
        ("A=${B:-x}", Construct::Expansion),
        ("A=`mongodb://u:p@h/d`", Construct::AddressAsCommand),
        ("A=\"$( 'postgres://u:p@h/d' )\"", Construct::AddressAsCommand),
        ("A=x$$", Construct::ProcessId),
        ("A=\"$${B}\"", Construct::ProcessId),
        ("A=$1", Construct::Parameter('1')),
        ("A=$'x'", Construct::AnsiCQuotes),
        ("A=$\"x\"", Construct::LocaleQuotes),
        ("A=~/x", Construct::Tilde),
        ("A=x:~", Construct::Tilde),
        ("export A={x,y}", Construct::Braces),
        ("A=(x y)", Construct::Array),
        ("A[1]=x", Construct::Array),
        ("A() { x; }", Construct::Parenthesis),
        ("A=x\ncat <<E\nA=y\nE", Construct::HereDocument),
        ("export A=x > /tmp/y", Construct::Redirection),
        ("A=x\nset -e\nB=y < /none\nA=z", Construct::Redirection),
        ("date && A=y", Construct::Condition),
        ("A=x \\", Construct::FinalBackslash),
        ("export A=x \\", Construct::FinalBackslash),
        ("A=x > \\", Construct::FinalBackslash),
        ("export A={x,y}", Construct::Braces),
        ("export A={1..3}", Construct::Braces),
        ("A=\u{1}", Construct::ControlCharacter),
        ("A=x\nif true; then A=y; fi", Construct::Keyword("if".into())),
        ("A=x\neval A=y", Construct::Command("eval".into())),
        ("A=x\n. ./y", Construct::Command(".".into())),
        ("A=x\n$B y", Construct::ComputedCommand),
        ("A=$HOME", Construct::Inherited("HOME".into())),
        ("A=x\nB='", Construct::Syntax("an unclosed single quote")),
        ("B=$(hostname)\nA=\"x$B\"", Construct::CommandSubstitution),
    ] {
        assert_eq!(unknown(text, "A"), what, "{text}");
    }
}

fn slips(text: &str) -> Vec<(&str, AssignmentError, String)> {
    let slip = |(at, remark): (usize, Remark)| match remark {
        Remark::AssignmentError(slip, variable) => Some((&text[at..], slip, variable)),
        _ => None,
    };
    read(text).remarks.into_iter().filter_map(slip).collect()
}

#[test]
fn what_was_meant_as_an_assignment_is_recognised() {
    for (text, at, slip) in [
        ("A=m://h?a=b&c=d", "&c=d", AssignmentError::Background),
        ("export A=m://h?a=b&", "&", AssignmentError::Background),
        ("A=m://h|x", "|x", AssignmentError::Pipe),
        ("export A=m://h|x", "|x", AssignmentError::Pipe),
        ("A=m://u:<p>@h", "<p>@h", AssignmentError::Redirection),
        ("export A=m://u:p>w@h", ">w@h", AssignmentError::Redirection),
        ("A=m://h?a=b;c=d", ";c=d", AssignmentError::Semicolon),
        ("export A=m://h;d", ";d", AssignmentError::Semicolon),
        ("A=m://u:p w@h", "w@h", AssignmentError::Blank),
        ("export A=m://u:p w@h", "w@h", AssignmentError::Blank),
        ("A = x", "A = x", AssignmentError::SpaceAroundEquals),
        ("A =x", "A =x", AssignmentError::SpaceAroundEquals),
        ("A= x", "A= x", AssignmentError::SpaceAroundEquals),
        ("export A = x", "A = x", AssignmentError::SpaceAroundEquals),
        ("export A =x", "A =x", AssignmentError::SpaceAroundEquals),
        ("export A= 'x'", "A= 'x'", AssignmentError::SpaceAroundEquals),
        ("export A= \"$B/x\"", "A= \"$B/x\"", AssignmentError::SpaceAroundEquals),
        ("set A=x", "set A=x", AssignmentError::Set),
        ("set -a A = x", "set -a A = x", AssignmentError::Set),
        ("$A=x", "$A=x", AssignmentError::Dollar),
        ("export ${A}=x", "${A}=x", AssignmentError::Dollar),
        ("A: x", "A: x", AssignmentError::Colon),
        ("A:=x", "A:=x", AssignmentError::Colon),
        ("setenv A x", "setenv A x", AssignmentError::OtherShell),
        ("env A=x", "env A=x", AssignmentError::OtherShell),
    ] {
        assert_eq!(slips(text), [(at, slip, "A".to_owned())], "{text}");
    }
    for text in [
        "A=x; B=y",
        "A=m://h;B=y",
        "A=m://h;export B=y",
        "export A=x B=y C",
        "A=x; export A B",
        "B=; export A=x B",
        "A=x true",
        "set -a",
        "set -- x",
        "env A=x curl m://h",
        "export A=''",
        "A=",
        "curl x &",
        "date | cat",
    ] {
        assert_eq!(slips(text), [], "{text}");
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
