#!/usr/bin/env bash
# s3s-fs, an S3 server that verifies signatures, from crates.io with the versions its own author locked.

# shellcheck source=tests/setup/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

version=0.14.1
program=$parts/s3s/bin/s3s-fs

installed() { [[ $("$program" --version 2>/dev/null) == "s3s-fs $version" ]]; }

if ! installed; then
    command -v cargo >/dev/null || die "cargo is missing: a Rust toolchain is the one thing that has to be there"
    build=$parts/s3s-build
    # From the root directory, so that this project's build settings do not count; not optimised, since building takes longer
    # than all that tests ask of it.
    (cd / && unset CARGO_TARGET_DIR CARGO_BUILD_TARGET RUSTFLAGS &&
        again 3 cargo install --quiet --locked --debug --features binary --root "$parts/s3s" --target-dir "$build" \
            "s3s-fs@$version") || die "cargo could not install s3s-fs"
    rm -rf "$build"
    installed || die "s3s-fs is installed and does not run"
fi
