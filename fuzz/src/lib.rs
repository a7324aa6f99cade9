//! What is done with somebody else's bytes, for fuzzing: one function per decoder, which reads the bytes and checks what
//! must hold of everything that was read. The workspace's tests run them for a moment (`fuzz/tests/smoke.rs`),
//! `cargo fuzz` for as long as one likes (`fuzz/libfuzzer`).

#![forbid(unsafe_code)]

mod kubernetes;
mod messages;
pub mod mutate;
mod names;
mod signed;
mod texts;

/// What a decoder made of its input. A finding is neither: it panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The bytes were taken, and what must hold held.
    Read,
    /// The bytes were refused.
    Refused,
}

impl Outcome {
    fn of<T, E>(result: &Result<T, E>) -> Outcome {
        match result {
            Ok(_) => Outcome::Read,
            Err(_) => Outcome::Refused,
        }
    }

    /// The outcome of a decoder that takes text only; bytes that are no text are refused by the caller of it.
    fn of_text(bytes: &[u8], decode: impl FnOnce(&str) -> Outcome) -> Outcome {
        std::str::from_utf8(bytes).map_or(Outcome::Refused, decode)
    }
}

/// One decoder under test.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: of the folder under `fuzz/corpus`, of the program under `fuzz/libfuzzer` and of its test.
    pub name: &'static str,
    /// Reads the bytes and checks what was read.
    pub run: fn(&[u8]) -> Outcome,
    /// How many inputs its test makes when it has no more time than that; fewer where public-key operations are done.
    pub rounds: u32,
}

const fn target(name: &'static str, run: fn(&[u8]) -> Outcome, rounds: u32) -> Target {
    Target { name, run, rounds }
}

/// Every decoder of bytes from outside.
pub const TARGETS: &[Target] = &[
    target("admission_review", kubernetes::admission_review, 4_000),
    target("allowlist_pattern", names::allowlist_pattern, 20_000),
    target("api_message", messages::api_message, 1_000),
    target("checkpoint", signed::checkpoint, 3_000),
    target("field_value", texts::field_value, 10_000),
    target("image_reference", names::image_reference, 20_000),
    target("image_review", kubernetes::image_review, 4_000),
    target("json", messages::json, 6_000),
    target("jwt", signed::jwt, 6_000),
    target("list_filter", texts::list_filter, 4_000),
    target("log_filter", texts::log_filter, 2_000),
    target("manifest", kubernetes::manifest, 1_000),
    target("metric_filter", texts::metric_filter, 4_000),
    target("page_token", texts::page_token, 20_000),
    target("pgp_certificate", signed::pgp_certificate, 1_000),
    target("pgp_message", signed::pgp_message, 1_000),
    target("policy_yaml", messages::policy_yaml, 1_500),
    target("private_key_pem", signed::private_key_pem, 200),
    target("protobuf", messages::protobuf, 2_000),
    target("public_key_pem", signed::public_key_pem, 3_000),
    target("resource_name", names::resource_name, 20_000),
    target("simple_signing", signed::simple_signing, 10_000),
];

/// Runs one target by its name, as the programs of `cargo fuzz` do.
///
/// # Panics
/// With a finding; and if there is no such target.
pub fn run(name: &str, bytes: &[u8]) -> Outcome {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("the name of a target").run)(bytes)
}
