# Recipes for people; `just --list` shows them. The tests install what they need (root, Debian 12).

_default:
    @just --list

# Everything: format, lints, unit tests, the suite, whole machines
test *ARGS:
    tests/run all {{ if ARGS == "" { "" } else { "-- " + ARGS } }}

# The same without the slow tests; `just quick hook` runs one area
quick *ARGS:
    tests/run quick {{ if ARGS == "" { "" } else { "-- " + ARGS } }}

# A boot from blank to CONTINUE, a bad bundle, a broken node
demo:
    tests/demo

# Format, clippy, scripts
lint:
    cargo fmt --check
    cargo clippy --workspace --all-targets -- -D warnings
    shellcheck --external-sources tests/run tests/demo tests/setup/*.sh tests/stand_ins/*.sh packer/scripts/*.sh

# Rewrite the generated pages and the transcripts in docs/ (after `just quick` has installed the test parts)
docs:
    REGENERATE=1 cargo test --workspace --lib -- kind:: docs_
    REGENERATE=1 tests/setup/enclosed.sh cargo test --offline --workspace --test suite -- docs::
