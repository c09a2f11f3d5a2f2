//! What a file of the bundle is called, in sentences and in commands.

use std::borrow::Cow;
use std::path::Path;

/// A file's name, and what a person types to reach the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileName {
    /// As in sentences: `settings.conf`.
    pub(super) shown: String,
    /// As in commands: a path, or an address that begins with `s3://`.
    typed: String,
}

impl FileName {
    /// For a file that lies below `place`, a directory as it was typed or an address that begins with `s3://`.
    #[allow(dead_code)] // used by the next change
    pub(super) fn below(place: &str, name: &str) -> Self {
        let typed = if place.starts_with("s3://") {
            format!("{}/{name}", place.trim_end_matches('/'))
        } else {
            Path::new(place).join(name).to_string_lossy().into_owned()
        };
        FileName { shown: name.to_owned(), typed }
    }

    /// The file as one word of a shell command.
    pub(super) fn word(&self) -> Cow<'_, str> {
        word(&self.typed)
    }

    /// The command that renames a file beside this one to this one's name.
    #[allow(dead_code)] // used by the next change
    pub(super) fn renamed_from(&self, other: &str) -> String {
        let base = self.typed.strip_suffix(self.shown.as_str()).unwrap_or_default();
        let from = format!("{base}{other}");
        let mv = if self.is_object() { "aws s3 mv" } else { "mv" };
        format!("{mv} {} {}", word(&from), self.word())
    }

    /// The command that replaces the file by what `filter` makes of it, from standard input to standard output.
    pub(super) fn converted(&self, filter: &str) -> String {
        let file = self.word();
        if self.is_object() {
            let local = word(&self.shown);
            return format!("aws s3 cp {file} - | {filter} > {local} && aws s3 cp {local} {file}");
        }
        let new = word(&format!("{}.new", self.typed)).into_owned();
        format!("{filter} < {file} > {new} && mv {new} {file}")
    }

    /// `command` with the file as its last argument.
    pub(super) fn given_to(&self, command: &str) -> String {
        let file = self.word();
        if self.is_object() { format!("aws s3 cp {file} - | {command}") } else { format!("{command} {file}") }
    }

    fn is_object(&self) -> bool {
        self.typed.starts_with("s3://")
    }
}

impl From<&str> for FileName {
    fn from(name: &str) -> Self {
        FileName { shown: name.to_owned(), typed: name.to_owned() }
    }
}

impl From<&String> for FileName {
    fn from(name: &String) -> Self {
        name.as_str().into()
    }
}

impl From<&FileName> for FileName {
    fn from(name: &FileName) -> Self {
        name.clone()
    }
}

/// A text as one word for a shell, quoted if need be.
fn word(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) && !text.starts_with('-') {
        return Cow::Borrowed(text);
    }
    let quoted = format!("'{}'", text.replace('\'', "'\\''"));
    Cow::Owned(if text.starts_with('-') { format!("./{quoted}") } else { quoted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_the_file_as_it_was_typed() {
        let file = FileName::below("crlf", "settings.conf");
        assert_eq!(
            file.converted("tr -d '\\r'"),
            "tr -d '\\r' < crlf/settings.conf > crlf/settings.conf.new && mv crlf/settings.conf.new crlf/settings.conf"
        );
        assert_eq!(file.given_to("jq ."), "jq . crlf/settings.conf");
        assert_eq!(file.renamed_from("settings.conf.txt"), "mv crlf/settings.conf.txt crlf/settings.conf");
        let file = FileName::below("my dir", "license.rli");
        assert_eq!(file.given_to("file"), "file 'my dir/license.rli'");
        let file = FileName::below("s3://bucket/prefix/", "license.rli");
        assert_eq!(
            file.converted("base64 -d"),
            "aws s3 cp s3://bucket/prefix/license.rli - | base64 -d > license.rli && aws s3 cp license.rli s3://bucket/prefix/license.rli"
        );
        assert_eq!(file.given_to("jq ."), "aws s3 cp s3://bucket/prefix/license.rli - | jq .");
        assert_eq!(
            file.renamed_from("a b.rli"),
            "aws s3 mv 's3://bucket/prefix/a b.rli' s3://bucket/prefix/license.rli"
        );
        assert_eq!(FileName::below("-x", "a").word(), "./'-x/a'");
    }
}
