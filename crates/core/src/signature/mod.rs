//! Signature checks. A check that succeeds says until when it holds; nothing here returns a bool.

pub mod pgp;
pub(crate) mod pkix;

use crate::time::UnixTime;

/// The payload type that DSSE's pre-authentication encoding names when gcloud signs with `--pae-encode-payload`.
pub const PAE_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// A signature was good; `until` is when its key expires, if it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Good {
    pub(crate) until: Option<UnixTime>,
}

/// DSSE's pre-authentication encoding: `DSSEv1 LEN(type) type LEN(body) body`.
pub fn pae(payload_type: &str, body: &[u8]) -> Vec<u8> {
    let mut encoded = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), body.len()).into_bytes();
    encoded.extend_from_slice(body);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_of_bytes() {
        assert_eq!(pae("é", "ü!".as_bytes()), "DSSEv1 2 é 3 ü!".as_bytes());
        assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
    }
}
