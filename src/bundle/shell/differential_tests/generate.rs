//! Files as people write them, and files that are nearly so.

use proptest::prelude::*;
use proptest::sample::select;

use super::NAMES;

fn value_piece() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            "a",
            "b/c",
            "{x}",
            "{1,2}",
            "*",
            "?",
            "[ab]",
            "mongodb://u:p@h:27017/d",
            "=",
            "==",
            "+",
            "%40",
            "é",
            "#",
            "!",
            "$=",
            "$/",
            "x:y",
            "-",
            ",",
            "^",
            "@",
            "\\\n",
            "a~b",
            "$%",
            "]",
            "}",
        ])
        .prop_map(str::to_owned),
        select(NAMES.to_vec()).prop_map(|name| format!("${{{name}}}")),
        select(NAMES.to_vec()).prop_map(|name| format!("${name}")),
        select(vec![
            " ", "$", "\\", "\"", "'", "&", "?", ";", "|", "<", ">", "(", "`", "#", "a", "~", "*", "\t"
        ])
        .prop_map(|c| format!("\\{c}")),
        "[ a$\"\\\\`&?#~\n<>;|(){}=é*-]{0,6}".prop_map(|inside| format!("'{inside}'")),
        prop::collection::vec(
            prop_oneof![select(vec![
                " ", "a", "'", "&", "?", "#", "\\\"", "\\\\", "\\$", "\\`", "\\a", "\\\n", "\n", "~", "$A",
                "${B}", "$AB", "$ ", "<", ">", ";", "|", "é", "\\'", "{", "*", "$'", "$/", ":~", "(", "!",
            ]),],
            0..6
        )
        .prop_map(|inside| format!("\"{}\"", inside.concat())),
    ]
}

fn value() -> impl Strategy<Value = String> {
    prop::collection::vec(value_piece(), 0..5).prop_map(|pieces| pieces.concat())
}

/// A list in braces on a line with `export` is not in the subset: bash expands it there.
fn exported_value() -> impl Strategy<Value = String> {
    value().prop_map(|value| if value.contains(',') { value.replace(['{', '}'], "") } else { value })
}

/// What people write for an assignment that is none, or not of the whole value: all of it is known.
fn slip() -> impl Strategy<Value = String> {
    let plain = select(vec![
        "x",
        "1b",
        "a/b",
        "m://u:p@h/d?a=b",
        "'x y'",
        "\"$A\"",
        "\"$B/c\"",
        "''",
        "é",
        "a:b",
        "-x",
        "=",
    ]);
    let form = select(vec![
        "N = V",
        "N =V",
        "N= V",
        "export N = V",
        "export N =V",
        "export N= V",
        "export N=x V",
        "N=V&",
        "N=V&M=x",
        "export N=V&M=x&",
        "N=V|M=x",
        "export N=V|true",
        "N=V;M=x",
        "export N=V;x",
        "N=V x/y",
        "set N=V",
        "set -a N = V",
        "set +a N=V",
        "$N=V",
        "${N}=V",
        "N: V",
        "N:=V",
        "setenv N V",
        "env N=V",
        "N=V<none",
        "N=V>out",
        "N=m://u:<p>@h",
        "N=x 2>&1",
        "N=V && M=x",
        "N=V || M=x",
        "false && N=V",
        "false || N=V",
        "N=V && false && M=x",
        "eval N=V&",
        "export 1N=V N=x",
        "export N=a*b?c[d]",
        "export N=p{w}d",
    ]);
    (form, name(), name(), plain).prop_filter_map(
        "an option of export, or a variable split",
        |(form, n, m, v)| {
            let text = form.replace('N', &n).replace('M', &m).replace('V', v);
            let splits = form.contains("$N") || form.contains("${N}");
            // One of the variables may be `-`.
            let may_be_option = v.starts_with('-') || v.starts_with("\"$");
            let is_option = may_be_option && form.starts_with("export") && form.ends_with(" V");
            (!is_option && !splits).then_some(text)
        },
    )
}

fn name() -> impl Strategy<Value = String> {
    select(NAMES.to_vec()).prop_map(str::to_owned)
}

fn statement() -> impl Strategy<Value = String> {
    let equals = select(vec!["=", "=", "=", "+="]);
    prop_oneof![
        4 => (name(), equals.clone(), value()).prop_map(|(n, e, v)| format!("{n}{e}{v}")),
        1 => (name(), value(), name(), value()).prop_map(|(n, v, m, w)| format!("{n}={v} {m}={w}")),
        3 => (name(), equals, exported_value()).prop_map(|(n, e, v)| format!("export {n}{e}{v}")),
        1 => (name(), exported_value(), name(), exported_value(), name())
            .prop_map(|(n, v, m, w, l)| format!("export  {n}={v}\t{m}={w} \\\n {l}")),
        1 => (name(), "[ab =:/?&]{0,5}").prop_map(|(n, v)| format!("export '{n}={v}'")),
        2 => slip(),
        1 => name().prop_map(|n| format!("unset {n}")),
        1 => name().prop_map(|n| format!("export {n}")),
        1 => select(vec!["# it's \"a\" `comment` \\", "", "   ", "\t# x", "set -a", "set +a", ":", "true"]).prop_map(str::to_owned),
    ]
}

pub(super) fn subset() -> impl Strategy<Value = String> {
    let separator = select(vec!["\n", "\n", "\n\n", " ; ", ";", " # note\n", "\n  ", " \\\n\n"]);
    let lines = prop::collection::vec((statement(), separator), 0..8);
    (lines, any::<bool>()).prop_map(|(lines, end)| {
        let mut text = String::new();
        for (statement, separator) in lines {
            let comment = statement.trim_start().starts_with('#');
            let empty = comment || statement.trim().is_empty() || statement.ends_with('&');
            text.push_str(&statement);
            // `;` after nothing or `&` is a syntax error, and a comment goes to the end of its line.
            text.push_str(if empty || text.ends_with('\n') { "\n" } else { separator });
        }
        // A `\` at the end of the text is outside the subset.
        let trimmed = text.trim_end_matches('\n');
        if end || trimmed.ends_with('\\') { text } else { trimmed.to_owned() }
    })
}

/// Text that is mostly not in the subset, near enough to it to go wrong in interesting ways.
pub(super) fn near_subset() -> impl Strategy<Value = String> {
    let piece = select(vec![
        "A",
        "B",
        "AB",
        "C_1",
        "=",
        "=",
        "+=",
        " ",
        " ",
        "\n",
        "\n",
        ";",
        "\n",
        "export ",
        "'",
        "\"",
        "\\",
        "$",
        "${",
        "}",
        "{",
        "#",
        "&",
        "|",
        "&&",
        "||",
        "(",
        ")",
        "<",
        ">",
        "`",
        "$(",
        "$((",
        "))",
        "~",
        "[",
        "]",
        "*",
        "x",
        "1",
        "0",
        ":",
        "-",
        "!",
        "=1\n",
        "A=1\n",
        "B=\"$A\"\n",
        "AB='x y'\n",
        "export B=$A\n",
        "if ",
        "then ",
        "fi\n",
        "true\n",
        "false",
        "set -a\n",
        "set -u\n",
        "set -e\n",
        "source ./none\n",
        ". /dev/null\n",
        "unset A\n",
        "echo ",
        "nosuch ",
        "return",
        "readonly A\n",
        "eval ",
        "${A:=x}",
        "${A:-x}",
        "${B#*:}",
        "${#A}",
        "${A?}",
        "${!A}",
        "$'x\\n'",
        "$\"x\"",
        "$1",
        "$?",
        "$RANDOM",
        "declare -i A\n",
        "local A\n",
        "A() { B=2; }\n",
        "A\n",
        "<<E\n",
        "E\n",
        "<<<",
        "2>",
        "&>",
        "A[0]=1\n",
        "A=(1 2)\n",
        "{a,b}",
        "IFS=x\n",
        "HOME=/\n",
        "RANDOM=1\n",
        "$(echo x)",
        "$(echo 'a b' | true)",
        "`echo x`",
        "$((1+2))",
        "$((A=5))",
        "\\\n",
        "\r",
        "\t",
        "case ",
        "esac",
        "in ",
        "é",
        "\u{1}",
        "\u{7f}",
        "time ",
        "; ",
        "for A in x; do ",
        "done\n",
        "shopt -s nullglob\n",
        "alias A=B\n",
        "trap 'A=9' DEBUG\n",
        "POSIXLY_CORRECT=1\n",
        "export -n A\n",
        "export -p\n",
        "export A B\n",
        "A=2 true\n",
        "A=2 export B\n",
        ": ${A:=z}\n",
        "UID=1\n",
        "export A = x\n",
        "export B= $A\n",
        "export A=x b*c\n",
        "A=m://h?a=b&c=d\n",
        "A=x|B=y\n",
        "A=x<none\n",
        "export A=x>out\n",
        "set A=x\n",
        "$A=x\n",
        "A=$$\n",
        "A=`m://h`\n",
        "true && ",
        "false || ",
        "export A={a,b}c\n",
        "export A=\"$B\" 'x y' $A\n",
        "IFS=:\n",
    ]);
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}
