# Recipes for people; `just --list` shows them. The tests install what they need (root, Debian 12).

_default:
    @just --list

# Everything: format, lints, unit tests, the suite, whole machines
test *ARGS:
    tests/run all {{ if ARGS == "" { "" } else { "-- " + ARGS } }}

# The same without the slow tests; `just quick hook` runs one area
quick *ARGS:
    tests/run quick {{ if ARGS == "" { "" } else { "-- " + ARGS } }}

# LLVM's fuzzer on every parser of foreign bytes: `just fuzz --minutes 60 bson`
fuzz *ARGS:
    fuzz/run {{ ARGS }}

# The reader of customizations against bash, on this many generated files
against-bash FILES="100000":
    tests/against-bash {{ FILES }}

# Licences, bans, sources and advisories of the dependencies
deny:
    target/test-parts/cargo-deny --locked --workspace check

# A boot from blank to CONTINUE, a bad bundle, a broken node
demo:
    tests/demo

# Format, clippy, scripts
lint:
    cargo fmt --check
    cargo clippy --workspace --all-targets -- -D warnings
    shellcheck --external-sources fuzz/run tests/run tests/demo tests/against-bash tests/setup/*.sh tests/stand_ins/*.sh packer/scripts/*.sh

# Rewrite the generated pages and the transcripts in docs/ (after `just quick` has installed the test parts)
docs:
    REGENERATE=1 cargo test --workspace --lib -- kind:: docs_
    REGENERATE=1 tests/setup/enclosed.sh cargo test --offline --workspace --test suite -- docs::
