//! The program against real parts: engine, registry, S3, databases. One binary, so that linking happens once.
//!
//! Set-up, namespaces and cleaning up are the business of `tests/run`; `cargo test --test suite NAME` works as well once
//! `tests/setup/parts.sh` has been run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod absent_databases;
mod aftermath;
mod airgap;
mod app;
mod bake;
mod boot;
mod boot_faults;
mod canaries;
mod check;
mod check_replicated;
mod check_rules;
mod diagnosis;
mod diagnosis_malformed;
mod diagnosis_mongo;
mod diagnosis_mongo_access;
mod diagnosis_mongo_set;
mod diagnosis_mongo_states;
mod diagnosis_mongo_tls;
mod diagnosis_pooler;
mod diagnosis_postgres;
mod diagnosis_postgres_tls;
mod diagnosis_rude;
mod diagnosis_table;
mod dry_run;
mod front;
mod full_disk;
mod harness;
mod hook;
mod images;
mod imds;
mod installer;
mod installer_answers;
mod installer_network;
mod installer_pins;
mod interruption;
mod journal;
mod layout_2x;
mod leaks;
mod names;
mod outside_aws;
mod packer;
mod plot;
mod probe;
mod probe_checks;
mod probe_checks_sight;
mod scene;
mod screens;
mod source;
mod static_binary;
mod stuck;
mod support;
mod sweep;
mod terminal;
mod usage;
mod user_data;
mod vault;
