# The lanes of CONTRIBUTING.md. `just --list` shows them.

# Format, lints, house rules.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo test -p xtask

# Everything.
test:
    cargo test --workspace

# The black-box tests alone, against a fresh build.
conformance *filter:
    cargo build -p binauthz
    cargo test -p binauthz-conformance --test black_box -- {{filter}}

# The whole story on one machine.
demo:
    cargo run --release -- demo

# Licences, bans and sources of dependencies.
deny:
    cargo deny --offline check bans licenses sources

# What a release consists of, in CycloneDX.
sbom:
    cargo run -p xtask -- sbom

# The artefacts of a release into a folder that is not there yet, signed and verified.
release folder:
    deploy/release/build {{folder}}

# Instructions of an admission against those that were found good; needs valgrind.
instructions:
    cargo run --release -p binauthz-benches -- instructions

# The same, taken for good from now on.
bless-instructions:
    BINAUTHZ_BLESS=1 cargo run --release -p binauthz-benches -- instructions

# Every measurement, and its results into docs/performance.md; `just performance start cold` does some.
performance *names:
    cargo run --release -p binauthz-benches -- report {{names}}

# Hostile input for every decoder, so many seconds for each.
fuzz seconds:
    BINAUTHZ_FUZZ_SECONDS={{seconds}} cargo test --release -p binauthz-fuzz --test smoke -- --nocapture
