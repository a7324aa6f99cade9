//! Every decoder for a moment: what is in its corpus, and inputs made from that. `BINAUTHZ_FUZZ_SECONDS=60` gives each of
//! them that time instead and other inputs at every run; what is found is then a file to put into the corpus.

#![expect(clippy::print_stderr, reason = "a finding and a long run have to be seen")]

use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use binauthz_fuzz::mutate::{Numbers, input};
use binauthz_fuzz::{Outcome, TARGETS, Target};

/// How long one input may take at most, here in an unoptimised build on a busy machine. The largest input takes
/// milliseconds; whatever needs seconds grows faster than its input does.
const SLOWEST: Duration = Duration::from_secs(10);

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The inputs of a target, by their names.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let files = std::fs::read_dir(folder("corpus").join(target)).unwrap();
    let mut inputs: Vec<_> = files
        .map(|file| {
            let file = file.unwrap();
            (
                file.file_name().into_string().unwrap(),
                std::fs::read(file.path()).unwrap(),
            )
        })
        .collect();
    inputs.sort();
    inputs
}

/// The seconds that each target gets, if the environment says so.
fn seconds() -> Option<u64> {
    let value = std::env::var("BINAUTHZ_FUZZ_SECONDS").ok()?;
    Some(
        value
            .parse()
            .expect("`BINAUTHZ_FUZZ_SECONDS` is a number of seconds"),
    )
}

fn run(target: &Target, bytes: &[u8], from: &str) -> Outcome {
    let began = Instant::now();
    let outcome = catch_unwind(|| (target.run)(bytes));
    let took = began.elapsed();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(took < SLOWEST, "{} took {took:?} for {from}: {hex}", target.name);
    outcome.unwrap_or_else(|_| panic!("a finding of {} in {from}: {hex}", target.name))
}

fn lane(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let named = corpus(name);
    let mut outcomes = BTreeSet::new();
    for (file, bytes) in &named {
        let outcome = run(target, bytes, file);
        // A corpus that says what comes out is a test of the decoder; one of refusals only would test nothing.
        match file.split('-').next() {
            Some("good") => assert_eq!(outcome, Outcome::Read, "{name}/{file}"),
            Some("bad") => assert_eq!(outcome, Outcome::Refused, "{name}/{file}"),
            _ => {}
        }
        outcomes.insert(outcome == Outcome::Read);
    }
    assert_eq!(
        outcomes.len(),
        2,
        "the corpus of {name} has inputs that are read and inputs that are not"
    );
    let corpus: Vec<Vec<u8>> = named.into_iter().map(|(_, bytes)| bytes).collect();
    let (seed, until) = match seconds() {
        Some(seconds) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            (now.as_secs(), Some(Instant::now() + Duration::from_secs(seconds)))
        }
        None => (1, None),
    };
    let mut numbers = Numbers::new(seed);
    let (mut rounds, mut read) = (0_u64, 0_u64);
    while until.map_or(rounds < u64::from(target.rounds), |until| Instant::now() < until) {
        let bytes = input(&corpus, &mut numbers);
        rounds += 1;
        if run(target, &bytes, &format!("round {rounds} of seed {seed}")) == Outcome::Read {
            read += 1;
        }
    }
    if until.is_some() {
        eprintln!("{name}: {rounds} inputs, {read} read, seed {seed}");
    }
}

/// One test for each target, so that they run side by side and a finding is named.
macro_rules! lanes {
    ($($name:ident)*) => {
        $(#[test] fn $name() { lane(stringify!($name)); })*
        const LANES: &[&str] = &[$(stringify!($name)),*];
    };
}

lanes! {
    admission_review allowlist_pattern api_message checkpoint field_value image_reference image_review json jwt
    list_filter log_filter manifest metric_filter page_token pgp_certificate pgp_message policy_yaml private_key_pem
    protobuf public_key_pem resource_name simple_signing
}

#[test]
fn every_target_has_its_test_its_corpus_and_its_program() {
    let targets: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(targets, LANES.iter().copied().collect());
    let manifest = std::fs::read_to_string(folder("libfuzzer/Cargo.toml")).unwrap();
    for target in &targets {
        let program =
            std::fs::read_to_string(folder("libfuzzer/fuzz_targets").join(format!("{target}.rs"))).unwrap();
        assert!(
            program.contains(&format!("binauthz_fuzz::run(\"{target}\", data)")),
            "{target}"
        );
        assert!(
            manifest.contains(&format!(
                "name = \"{target}\"\npath = \"fuzz_targets/{target}.rs\""
            )),
            "{target}"
        );
    }
    for (inside, what) in [("corpus", "corpus"), ("libfuzzer/fuzz_targets", "program")] {
        for file in std::fs::read_dir(folder(inside)).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            assert!(
                targets.contains(name.trim_end_matches(".rs")),
                "a {what} without a target: {name}"
            );
        }
    }
}
