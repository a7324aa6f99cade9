//! The simple-signing statement: the one function that builds it and the one that reads it.
//!
//! Signer and judge share this file so that they cannot drift apart. Reading is private to the
//! crate and is called only on bytes whose signature was checked a moment before.

use crate::image::Digest;
use crate::strict_json::{Members, StrictValue};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Longest statement accepted. A canonical one is about 250 bytes; the rest is room for `optional`.
pub const MAX_PAYLOAD_LEN: usize = 64 * 1024;

/// The `type` that we and gcloud write.
pub const PAYLOAD_TYPE: &str = "Google cloud binauthz container signature";

/// The `type`s accepted: ours, the spelling of Google's own guide, and the original atomic form.
/// Never cosign's: that is another protocol with other rules.
const ACCEPTED_TYPES: [&str; 3] = [
    PAYLOAD_TYPE,
    "Google Cloud BinAuthz container signature",
    "atomic container signature",
];

/// The statement about `digest` in `repository`, byte for byte as `gcloud container binauthz
/// create-signature-payload` prints it: sorted keys, two-space indent, one newline at the end.
pub fn build(repository: &str, digest: &Digest) -> Vec<u8> {
    format!(
        "{{\n  \"critical\": {{\n    \"identity\": {{\n      \"docker-reference\": {}\n    }},\n    \"image\": {{\n      \"docker-manifest-digest\": \"{digest}\"\n    }},\n    \"type\": \"{PAYLOAD_TYPE}\"\n  }}\n}}\n",
        escaped(repository)
    )
    .into_bytes()
}

/// A JSON string, ASCII only.
fn escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let mut ascii = String::with_capacity(quoted.len());
    for unit in quoted.chars() {
        if unit.is_ascii() {
            ascii.push(unit);
        } else {
            let mut pair = [0; 2];
            for code in unit.encode_utf16(&mut pair) {
                ascii.push_str(&format!("\\u{code:04x}"));
            }
        }
    }
    ascii
}

/// What a statement says, once read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) digest: Digest,
    pub(crate) docker_reference: String,
}

/// Why signed bytes are not a statement about an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPayload {
    /// Longer than [`MAX_PAYLOAD_LEN`].
    #[error("the signed payload is longer than {MAX_PAYLOAD_LEN} bytes")]
    TooLong,
    /// Not JSON, or not of the statement's shape.
    #[error("the signed payload is not a simple-signing statement: {0}")]
    Malformed(String),
    /// A `type` of another protocol.
    #[error("the signed payload has type `{0}`, which is not a Binary Authorization signature type")]
    Type(String),
    /// The digest is not one.
    #[error("the signed payload names no valid digest in `critical.image.docker-manifest-digest`")]
    Digest,
}

/// Reads a statement strictly: exact member names, no duplicates at any depth, nothing unknown at
/// the top or inside `critical`, nothing nested without end, nothing after the document.
pub(crate) fn read(bytes: &[u8]) -> Result<Statement, InvalidPayload> {
    if bytes.len() > MAX_PAYLOAD_LEN {
        return Err(InvalidPayload::TooLong);
    }
    let Members(document): Members<Document> =
        serde_json::from_slice(bytes).map_err(|error| InvalidPayload::Malformed(error.to_string()))?;
    let Members(critical) = document.critical;
    if !ACCEPTED_TYPES.contains(&critical.kind.as_str()) {
        return Err(InvalidPayload::Type(critical.kind.chars().take(100).collect()));
    }
    let digest = critical
        .image
        .0
        .docker_manifest_digest
        .parse()
        .map_err(|_| InvalidPayload::Digest)?;
    Ok(Statement {
        digest,
        docker_reference: critical.identity.0.docker_reference,
    })
}

/// The digest a *claimed* payload names, for early warnings only: nothing was verified, so the
/// answer must never reach a verdict.
pub fn unverified_digest(bytes: &[u8]) -> Result<Digest, InvalidPayload> {
    read(bytes).map(|statement| statement.digest)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    critical: Members<Critical>,
    #[serde(rename = "optional", default)]
    _optional: Optional,
}

/// What signers may add for themselves: an object, or nothing at all. `null` is neither.
#[derive(Default)]
struct Optional;

impl<'de> Deserialize<'de> for Optional {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if StrictValue::deserialize(deserializer)?.is_object {
            Ok(Self)
        } else {
            Err(D::Error::custom("`optional` is not an object"))
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Critical {
    identity: Members<Identity>,
    image: Members<Image>,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    #[serde(rename = "docker-reference")]
    docker_reference: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    docker_manifest_digest: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strict_json::MAX_DEPTH;

    const DIGEST: &str = "sha256:ebb4fc0a57d010f1a983b74238e36ec0288f83afd4db68ffe9c58c2e927fea2d";

    #[test]
    fn what_is_built_is_what_is_read() {
        let digest: Digest = DIGEST.parse().unwrap();
        let bytes = build("us-central1-docker.pkg.dev/demo/app/myservice", &digest);
        let expected = format!(
            "{{\n  \"critical\": {{\n    \"identity\": {{\n      \"docker-reference\": \"us-central1-docker.pkg.dev/demo/app/myservice\"\n    }},\n    \"image\": {{\n      \"docker-manifest-digest\": \"{DIGEST}\"\n    }},\n    \"type\": \"Google cloud binauthz container signature\"\n  }}\n}}\n"
        );
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expected);
        assert_eq!(read(&bytes).unwrap().digest, digest);
    }

    proptest::proptest! {
        #[test]
        fn every_repository_is_read_as_it_was_written(repository in "\\PC{0,100}|[\\x00-\\x7f]{0,20}") {
            let bytes = build(&repository, &DIGEST.parse().unwrap());
            assert_eq!(read(&bytes).unwrap().docker_reference, repository);
        }
    }

    #[test]
    fn non_ascii_is_escaped() {
        assert_eq!(escaped("é\u{1F600}\""), "\"\\u00e9\\ud83d\\ude00\\\"\"");
    }

    #[test]
    fn twisted_statements_are_refused() {
        let good = String::from_utf8(build("r.test/a", &DIGEST.parse().unwrap())).unwrap();
        let twisted = [
            good.replace("\"critical\"", "\"Critical\""),
            good.replace("\"type\"", "\"kind\""),
            good.replace("\"critical\": {", "\"critical\": {\"x\": 1,"),
            good.replace(
                "\"image\": {",
                "\"image\": {\"docker-manifest-digest\": \"sha256:00\",",
            ),
            good.replace("}\n}\n", "},\n\"optional\": {\"a\": {\"b\": 1, \"b\": 2}}}\n"),
            good.replace("}\n}\n", "},\n\"optional\": 3}\n"),
            good.replace("}\n}\n", "},\n\"optional\": null}\n"),
            good.replace("}\n}\n", "},\n\"optional\": []}\n"),
            good.replace("}\n}\n", "},\n\"optional\": \"{}\"}\n"),
            good.replace("}\n}\n", "},\n\"extra\": {}}\n"),
            good.replace("sha256:ebb4", "sha256:EBB4"),
            good.replace("binauthz container", "container"),
            format!("{good}x"),
            format!("\u{feff}{good}"),
            format!("[{good}]"),
            format!("[[[\"r.test/a\"], [\"{DIGEST}\"], \"{PAYLOAD_TYPE}\"]]"),
            format!(
                "{{\"critical\": [{{\"docker-reference\": \"r.test/a\"}}, {{\"docker-manifest-digest\": \"{DIGEST}\"}}, \"{PAYLOAD_TYPE}\"]}}"
            ),
            good.replace(
                "{\n      \"docker-reference\": \"r.test/a\"\n    }",
                "[\"r.test/a\"]",
            ),
            good.replace("\"critical\"", "\"critical\": {}, \"\\u0063ritical\""),
            good.replace("\"critical\"", "\"critical\": null, \"critical\""),
            good.replace(&format!("\"{DIGEST}\""), "null"),
            good.replace("sha256:ebb4", "sha256: ebb4"),
            good.replace(PAYLOAD_TYPE, "cosign container image signature"),
            good.replace(PAYLOAD_TYPE, ""),
            format!("{good}{good}"),
            good.replace(
                "\"r.test/a\"",
                "\"r.test/a\",\n \"docker-reference\": \"r.test/b\"",
            ),
            good.replace("}\n}\n", "}\n}\n\0"),
            good.replace("r.test/a", "\\ud800"),
            "[".repeat(100_000),
            String::new(),
        ];
        for text in twisted {
            assert!(read(text.as_bytes()).is_err(), "{text:.200}");
        }
        let optional = |value: &str| good.replace("}\n}\n", &format!("}},\n\"optional\": {value}}}\n"));
        for value in ["{}", "{\"a\": [1, null]}"] {
            assert!(read(optional(value).as_bytes()).is_ok(), "{value}");
        }
    }

    /// The statement and `optional` are two levels of the depth.
    #[test]
    fn nesting_has_an_end() {
        let good = String::from_utf8(build("r.test/a", &DIGEST.parse().unwrap())).unwrap();
        let nested = |open: &str, close: &str, levels: usize| {
            let value = format!("{}1{}", open.repeat(levels - 2), close.repeat(levels - 2));
            let text = good.replace("}\n}\n", &format!("}},\n\"optional\": {{\"a\": {value}}}}}\n"));
            read(text.as_bytes())
        };
        for (open, close) in [("[", "]"), ("{\"b\": ", "}")] {
            assert!(nested(open, close, MAX_DEPTH).is_ok(), "{open}");
            for levels in [MAX_DEPTH + 1, 127, 128, 10_000] {
                assert!(nested(open, close, levels).is_err(), "{open} {levels}");
            }
        }
        let refused = nested("[", "]", MAX_DEPTH + 1).unwrap_err().to_string();
        assert!(refused.contains("more than 32 levels"), "{refused}");
    }
}
