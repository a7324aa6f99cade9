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

/// The byte strings a signature over `payload` may cover: the payload itself, then its one PAE form.
pub(crate) fn signed_forms(payload: &[u8]) -> [Vec<u8>; 2] {
    [payload.to_vec(), pae(PAE_TYPE, payload)]
}
