//! The kinds of causes: what can go wrong, as a stable word for machines, and what `agent explain` says of each.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! kinds {
    ($($area:ident = $name:literal {
        $($variant:ident = $text:literal: $first:ident $(| $other:ident)*,)*
    })*) => {
        /// What a kind is about: the part before its dot.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs)]
        pub enum Area {
            $($area,)*
        }

        impl Area {
            /// Every area, in alphabetical order.
            pub const ALL: &'static [Area] = &[$(Area::$area,)*];

            /// The area as kinds are written with it, e.g. `tls`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Area::$area => $name,)*
                }
            }

            /// Its kinds, in alphabetical order.
            pub const fn kinds(self) -> &'static [Kind] {
                match self {
                    $(Area::$area => &[$(Kind::$variant,)*],)*
                }
            }

            /// The explanations of its kinds: Markdown with one section for each.
            pub(super) const fn text(self) -> &'static str {
                match self {
                    $(Area::$area => include_str!(concat!("text/", $name, ".md")),)*
                }
            }
        }

        /// What went wrong: `area.what`, e.g. `s3.access_denied`. As text a kind never changes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs)]
        pub enum Kind {
            $($($variant,)*)*
        }

        impl Kind {
            /// Every kind, in alphabetical order of its area and its text.
            pub const ALL: &'static [Kind] = &[$($(Kind::$variant,)*)*];

            /// The kind as it is written in output and state files.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($(Kind::$variant => $text,)*)*
                }
            }

            /// What it is about.
            pub const fn area(self) -> Area {
                match self {
                    $($(Kind::$variant => Area::$area,)*)*
                }
            }

            /// The classes that a cause of this kind can have.
            pub const fn classes(self) -> &'static [Class] {
                match self {
                    $($(Kind::$variant => &[Class::$first $(, Class::$other)*],)*)*
                }
            }
        }
    };
}

mod explanation;
mod list;

pub use explanation::{Explanation, Piece};
pub use list::{Area, Kind};

impl Kind {
    /// The kind that is written like this.
    pub fn parse(text: &str) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }

    /// The command that explains it.
    pub fn ask(self) -> String {
        format!("agent explain {self}")
    }

    /// The classes that a cause of this kind can have, for people: `config or host`.
    pub fn classes_in_words(self) -> String {
        self.classes().iter().map(|class| class.as_str()).collect::<Vec<_>>().join(" or ")
    }
}

impl Area {
    /// The area that is written like this.
    pub fn parse(text: &str) -> Option<Area> {
        Area::ALL.iter().copied().find(|area| area.as_str() == text)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
