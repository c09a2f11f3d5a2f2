//! The bundle: the four files that make a services box, and whatever extra files it needs.
//!
//! Three types: [`Fetched`] is what came from a source, unchecked; [`validate`] looks at all of it and says everything
//! that is wrong at once ([`Finding`]); [`Bundle`] exists only when none of that is an error, so that whoever holds one
//! need not check again. Every secret is made known to the scrubber before the first finding is made, also out of files
//! that are too broken to be read.
//!
//! The kinds of findings; all are of class `config`:
//!
//! | kind | what |
//! |---|---|
//! | `bundle.missing_file` | one of the four did not come |
//! | `bundle.empty_file`, `bundle.too_large` | nothing in it; more than 1 MiB |
//! | `bundle.not_utf8`, `bundle.utf16`, `bundle.nul_byte`, `bundle.byte_order_mark`, `bundle.crlf` | not the text it should be |
//! | `bundle.markup_page` | an HTML or XML page, such as an S3 error or a proxy's login, in place of the file |
//! | `bundle.curly_quote`, `bundle.invisible_character`, `bundle.placeholder` | pasted from a document and not finished |
//! | `bundle.json_*` | what is not JSON: `trailing_comma`, `missing_comma`, `missing_colon`, `comment`, `single_quotes`, `bare_word`, `number`, `string`, `escape`, `duplicate_key`, `too_deep`, `truncated`, `syntax`, `not_object` |
//! | `bundle.extra_path` | an extra file without a clean absolute path, or on one of the four |
//! | `replicated_conf.unknown_key`, `.channel` | ignored by Replicated |
//! | `replicated_conf.type`, `.value`, `.empty` | wrong type, not one of the values, empty |
//! | `replicated_conf.required`, `.excluded`, `.unused` | a key that another one or the absence of a person needs, rules out, or leaves without effect |
//! | `replicated_conf.tls` | `TlsBootstrap…` keys that do not make a whole |
//! | `replicated_conf.path` | a file that neither the bundle places nor the path rules allow |
//! | `replicated_conf.fixed_address` | an address of one box in a bundle for all |
//! | `replicated_conf.not_plain` | a key that the installer's `grep` would not read as JSON does |
//! | `settings_conf.not_object`, `.value_not_string`, `.unknown_member` | a setting that is not `{"value": "…"}` |
//! | `settings_conf.missing`, `.empty`, `.value`, `.license_agreement`, `.region` | a setting that is absent, empty or wrong |
//! | `customizations.syntax`, `.unquoted_character`, `.space_around_equals` | bash would not read it as it was meant |
//! | `customizations.unknown_value`, `.unknown_rest`, `.command`, `.unset_variable`, `.not_exported` | what this reader or the app cannot see |
//! | `circleconfig.missing`, `.value`, `.no_password` | PostgreSQL's address in `circleconfig/shared/postgresql` |
//! | `customizations.missing_database`, `.database_name`, `mongo.uri…`, `postgres.uri…` | the database addresses |

mod addresses;
mod circleconfig;
mod customizations;
mod excerpt;
mod fetched;
mod file_name;
mod finding;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod host;
mod json;
mod license;
mod package;
mod recognise;
mod replicated_conf;
mod secrets;
mod settings_conf;
mod shell;
mod text;
mod validate;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

pub(crate) use addresses::is_of_services;
pub use addresses::{Address, DatabaseUri, SERVICE_DATABASES, requests, stable_names};
pub(crate) use circleconfig::{ENCRYPTION_KEYS, PLACE as CIRCLECONFIG};
pub use fetched::{BundleFile, ExtraFile, Fetched, Lacking, Placement};
pub use finding::{Finding, Position, Severity, invalid};
pub use package::Package;
pub use replicated_conf::ReplicatedConf;
pub(crate) use secrets::{addresses as secrets_in_addresses, register as register_secrets};
pub use validate::{Bundle, Validation, validate};
