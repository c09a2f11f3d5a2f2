//! What the customizations say: read as bash reads them, each mistake said once and where it is.

use super::check::Change::{Add, Drop, Replace, Write};
use super::check::{CUS, Draft, Row, assert_rows};
use super::check_replicated::leak;

#[test]
fn customizations_are_read_as_bash_reads_them() {
    const MAIN: &str = "'mongodb://circle:pw@db.example.com:27017/circle_ghe'";
    assert_rows(&[
        // The subset, each way to write the same address.
        (Replace(CUS, MAIN, "\"mongodb://circle:pw@db.example.com:27017/circle_ghe\""), &[]),
        (Replace(CUS, MAIN, "mongodb://circle:pw@db.example.com:27017/circle_ghe # and a comment"), &[]),
        (Replace(CUS, MAIN, "'mongodb://circle:'\"pw@\"db.example.com:27017/circle_ghe"), &[]),
        (Replace(CUS, MAIN, "mongodb://circle:pw@\\\ndb.example.com:27017/circle_ghe"), &[]),
        (
            Replace(
                CUS,
                "# made by the test\n",
                "export HOST=db.example.com\nBASE=mongodb://circle:pw@${HOST}\n",
            ),
            &[],
        ),
        (
            Replace(CUS, MAIN, "mongodb://circle:pw@$HOSTNAME:27017/circle_ghe"),
            &["warning customizations.unknown_value"],
        ),
        // A variable's content counts, and is named where it stands: the second @ comes by way of it.
        (
            Replace(
                CUS,
                "# made by the test\nexport CIRCLE_SECRETS_MONGODB_MAIN_URI='mongodb://circle:pw@",
                "PASSWORD='p@w'\nexport CIRCLE_SECRETS_MONGODB_MAIN_URI=\"mongodb://circle:${PASSWORD}@\"'",
            ),
            &["error mongo.uri circle-installation-customizations:1:12"],
        ),
        // Outside the subset: a warning that the value cannot be known, never a guess and never a shell.
        (
            Replace(CUS, MAIN, "$(cat /etc/mongo-uri)"),
            &["warning customizations.unknown_value circle-installation-customizations:2:"],
        ),
        (Replace(CUS, MAIN, "\"`cat /etc/mongo-uri`\""), &["warning customizations.unknown_value"]),
        (
            Replace(CUS, MAIN, "mongodb://circle:pw@db:$((27016 + 1))/circle_ghe"),
            &["warning customizations.unknown_value"],
        ),
        (
            Add(CUS, "if true; then X=1; fi"),
            &["warning customizations.unknown_rest circle-installation-customizations:8:1"],
        ),
        (Add(CUS, "date"), &["warning customizations.command"]),
        (Add(CUS, "X=$NOWHERE_SET"), &["warning customizations.unset_variable"]),
        (Add(CUS, "X='open"), &["error customizations.syntax circle-installation-customizations:8:3"]),
        (Add(CUS, "X=a&b=c"), &["error customizations.unquoted_character"]),
        (Add(CUS, "X = y"), &["error customizations.space_around_equals"]),
    ]);
}

/// What bash certainly does with a line is no doubt but an error, and one mistake is one finding.
#[test]
fn what_bash_certainly_does_is_an_error_and_said_once() {
    const MAIN: &str =
        "export CIRCLE_SECRETS_MONGODB_MAIN_URI='mongodb://circle:pw@db.example.com:27017/circle_ghe'";
    const BASE: &str = "# made by the test\n";
    let whole: &[(&'static str, &'static [&'static str])] = &[
        // The value is cut off.
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=mongodb://circle:pw@db:27017/circle_ghe?ssl=true&authSource=admin&w=1",
            &["error customizations.unquoted_character circle-installation-customizations:2:88"],
        ),
        (
            "CIRCLE_SECRETS_MONGODB_MAIN_URI=mongodb://circle:p|w@db:27017/circle_ghe",
            &["error customizations.unquoted_character"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=mongodb://circle:p<w@db:27017/circle_ghe",
            &["error customizations.unquoted_character"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=mongodb://circle:p>w@db:27017/circle_ghe",
            &["error customizations.unquoted_character"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=mongodb://circle:pw@db:27017/circle_ghe?ssl=true;w=1",
            &["error customizations.unquoted_character"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=mongodb://circle:p w@db:27017/circle_ghe",
            &["error customizations.unquoted_character"],
        ),
        (
            "CIRCLE_SECRETS_MONGODB_MAIN_URI=mongodb://circle:p w@db:27017/circle_ghe",
            &["error customizations.unquoted_character"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=mongodb://circle:p{a,b}w@db:27017/circle_ghe",
            &["error customizations.unquoted_character"],
        ),
        // The variable is not set.
        (
            "CIRCLE_SECRETS_MONGODB_MAIN_URI = 'mongodb://circle:pw@db:27017/circle_ghe'",
            &["error customizations.space_around_equals"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI = 'mongodb://circle:pw@db:27017/circle_ghe'",
            &["error customizations.space_around_equals"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI= 'mongodb://circle:pw@db:27017/circle_ghe'",
            &["error customizations.space_around_equals"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI =mongodb://circle:pw@db:27017/circle_ghe?w=1",
            &["error customizations.space_around_equals"],
        ),
        (
            "set CIRCLE_SECRETS_MONGODB_MAIN_URI='mongodb://circle:pw@db:27017/circle_ghe'",
            &["error customizations.not_assigned"],
        ),
        (
            "$CIRCLE_SECRETS_MONGODB_MAIN_URI='mongodb://circle:pw@db:27017/circle_ghe'",
            &["error customizations.not_assigned"],
        ),
        (
            "CIRCLE_SECRETS_MONGODB_MAIN_URI: mongodb://circle:pw@db:27017/circle_ghe",
            &["error customizations.not_assigned"],
        ),
        (
            "setenv CIRCLE_SECRETS_MONGODB_MAIN_URI 'mongodb://circle:pw@db:27017/circle_ghe'",
            &["error customizations.not_assigned"],
        ),
        // It holds something else.
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=\"mongodb://circle:p$$w@db:27017/circle_ghe\"",
            &["error customizations.process_id"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=mongodb://$${USER}:pw@db:27017/circle_ghe",
            &["error customizations.process_id"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=\"mongodb://circle:p$1w@db:27017/circle_ghe\"",
            &["error customizations.special_parameter"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=`mongodb://circle:pw@db:27017/circle_ghe`",
            &["error customizations.runs_address"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=\"$(mongodb://circle:pw@db:27017/circle_ghe)\"",
            &["error customizations.runs_address"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=\"mongodb://circle:${mongo_password}@db:27017/circle_ghe\"",
            &["error customizations.unset_variable"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI='mongodb://circle:${mongo_password}@db:27017/circle_ghe'",
            &["error customizations.unexpanded_variable"],
        ),
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=“mongodb://circle:pw@db:27017/circle_ghe?a=b&c=d”",
            &["error bundle.curly_quote"],
        ),
        (
            "export\u{a0}CIRCLE_SECRETS_MONGODB_MAIN_URI='mongodb://circle:pw@db:27017/circle_ghe'",
            &["error bundle.invisible_character"],
        ),
        // A # is part of a word that has begun, and then the URI is wrong.
        (
            "export CIRCLE_SECRETS_MONGODB_MAIN_URI=mongodb://circle:p#w@db:27017/circle_ghe",
            &["error mongo.uri"],
        ),
    ];
    let rows: Vec<Row> = whole.iter().map(|(line, expected)| (Replace(CUS, MAIN, line), *expected)).collect();
    assert_rows(&rows);
    // Through a variable of the file, which four addresses are made of.
    let uri = |base: &str| {
        leak(&format!(
            "# made by the test\n{base}\nexport CIRCLE_SECRETS_MONGODB_REMOTE_CONTAINERS_URI=\"$BASE/remote_containers_dev_ghe\"\nexport CIRCLE_SECRETS_MONGODB_CONTAINERS_URI=\"$BASE/containers_dev_ghe\"\n"
        ))
    };
    let base = |base: &str, expected: &'static [&'static str]| -> [Row; 1] {
        [(Replace(CUS, BASE, uri(base)), expected)]
    };
    // The lines of the good bundle come after, and set them again: take those away.
    let drop = |row: [Row; 1]| {
        let [(change, expected)] = row;
        let mut draft = Draft::good();
        draft.apply(&Drop(CUS, "MONGODB_CONTAINERS"));
        draft.apply(&Drop(CUS, "REMOTE_CONTAINERS"));
        draft.apply(&change);
        (Write(CUS, Vec::leak(draft.files[CUS].clone())), expected)
    };
    assert_rows(&[
        drop(base("BASE=mongodb://circle:pw@db:27017", &[])),
        drop(base(
            "BSAE=mongodb://circle:pw@db:27017",
            &["error customizations.unset_variable circle-installation-customizations:3:"],
        )),
        drop(base(
            "BASE=mongodb://circle:p&w@db:27017",
            &["error customizations.unquoted_character circle-installation-customizations:2:"],
        )),
        drop(base(
            "BASE=mongodb://circle:p$$w@db:27017",
            &["error customizations.process_id circle-installation-customizations:2:"],
        )),
        drop(base(
            "BASE= mongodb://circle:pw@db:27017",
            &["error customizations.space_around_equals circle-installation-customizations:2:"],
        )),
        drop(base(
            "BASE=mongodb://circle:<password>@<host>:27017",
            &[
                "error bundle.placeholder circle-installation-customizations:2:",
                "error bundle.placeholder circle-installation-customizations:2:",
            ],
        )),
    ]);
}
