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

# Rewrite the generated parts of docs/, and open the API documentation
docs:
    UPDATE_DOCS=1 tests/run quick -- docs_
    cargo doc --no-deps --document-private-items
