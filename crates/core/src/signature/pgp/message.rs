//! The three shapes a signature comes in, each read to its last byte and compared with the payload.

use super::Fault;
use super::armor::{Label, dearmor};
use super::packet::{self, Packet};
use pgp::packet::{CompressedData, PacketHeader, Signature, SignatureType};
use pgp::types::Tag;
use std::borrow::Cow;
use std::io::Read;

const CLEARTEXT: &str = "-----BEGIN PGP SIGNED MESSAGE-----";

/// A signature and the bytes it must be over. They come from the payload, never from the message.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    pub(super) signature: Signature,
    pub(super) signed: &'a [u8],
}

/// Reads `message`, which must be one of: an attached message whose content is `payload`, a
/// clear-signed message whose text is, or a detached signature.
pub(super) fn read<'a>(message: &[u8], payload: &'a [u8]) -> Result<Claim<'a>, Fault> {
    if message.first().is_some_and(|byte| byte & 0x80 != 0) {
        let packets = packet::split(message).ok_or(Fault::Malformed)?;
        return match packets.as_slice() {
            [only] if only.tag == packet::SIGNATURE => detached(&packets, payload),
            _ => attached(&packets, payload),
        };
    }
    let text = std::str::from_utf8(message).map_err(|_| Fault::Malformed)?;
    let text = text.trim_ascii();
    if text.starts_with(CLEARTEXT) {
        return clear_signed(text, payload);
    }
    if text.starts_with(Label::Message.first_line()) {
        let bytes = dearmor(text, Label::Message).ok_or(Fault::Malformed)?;
        return attached(&packet::split(&bytes).ok_or(Fault::Malformed)?, payload);
    }
    let bytes = dearmor(text, Label::Signature).ok_or(Fault::Malformed)?;
    detached(&packet::split(&bytes).ok_or(Fault::Malformed)?, payload)
}

fn detached<'a>(packets: &[Packet<'_>], payload: &'a [u8]) -> Result<Claim<'a>, Fault> {
    let signature = only_signature(packets, SignatureType::Binary)?;
    Ok(Claim {
        signature,
        signed: payload,
    })
}

fn only_signature(packets: &[Packet<'_>], kind: SignatureType) -> Result<Signature, Fault> {
    let [only] = packets else {
        return Err(Fault::NotOneSignature);
    };
    if only.tag != packet::SIGNATURE {
        return Err(Fault::NotOneSignature);
    }
    let signature = packet::signature(&only.body).ok_or(Fault::Malformed)?;
    if signature.typ() == Some(kind) {
        Ok(signature)
    } else {
        Err(Fault::OtherType)
    }
}

/// An attached message: compressed or not, one announcement, one literal, one signature.
fn attached<'a>(packets: &[Packet<'_>], payload: &'a [u8]) -> Result<Claim<'a>, Fault> {
    match packets {
        [only] if only.tag == packet::COMPRESSED => {
            let inner = decompress(&only.body, payload.len())?;
            signed(&packet::split(&inner).ok_or(Fault::Malformed)?, payload)
        }
        _ => signed(packets, payload),
    }
}

fn signed<'a>(packets: &[Packet<'_>], payload: &'a [u8]) -> Result<Claim<'a>, Fault> {
    let [announced, literal, signature] = packets else {
        return Err(Fault::NotOneSignature);
    };
    if (announced.tag, literal.tag) != (packet::ONE_PASS_SIGNATURE, packet::LITERAL) {
        return Err(Fault::NotOneSignature);
    }
    let signature = only_signature(std::slice::from_ref(signature), SignatureType::Binary)?;
    if !announces(&announced.body, &signature) {
        return Err(Fault::Malformed);
    }
    // What a literal says of its format, file name and date is unsigned, and used by nobody.
    let (_format, rest) = literal.body.split_first().ok_or(Fault::Malformed)?;
    let (name_length, rest) = rest.split_first().ok_or(Fault::Malformed)?;
    let content = rest
        .get(usize::from(*name_length) + 4..)
        .ok_or(Fault::Malformed)?;
    if content != payload {
        return Err(Fault::OtherText);
    }
    Ok(Claim {
        signature,
        signed: payload,
    })
}

/// Whether a one-pass packet (version 3, the last of its kind) announces `signature`.
fn announces(body: &[u8], signature: &Signature) -> bool {
    let Some(config) = signature.config() else {
        return false;
    };
    let ([3, kind, hash, algorithm], [id @ .., 1]) = (match body.split_first_chunk::<4>() {
        Some((head, rest)) => (*head, rest),
        None => return false,
    }) else {
        return false;
    };
    let ids = signature.issuer_key_id();
    let fingerprints = signature.issuer_fingerprint();
    // The last eight bytes of a version 4 fingerprint are the key id.
    (kind, hash, algorithm) == (config.typ.into(), config.hash_alg.into(), config.pub_alg.into())
        && ids.iter().all(|named| named.as_ref() == id)
        && fingerprints.iter().all(|named| named.as_bytes().ends_with(id))
        && id.len() == 8
}

/// The content of a compressed packet, which can be no longer than a signed message around `payload` is.
fn decompress(body: &[u8], payload_len: usize) -> Result<Vec<u8>, Fault> {
    // The literal's header takes at most 262 bytes, announcement and signature together 16 KiB.
    let limit = payload_len + 17 * 1024;
    let length = u32::try_from(body.len()).map_err(|_| Fault::Malformed)?;
    let header = PacketHeader::new_fixed(Tag::CompressedData, length);
    let packet = CompressedData::try_from_reader(header, body).map_err(|_| Fault::Malformed)?;
    let mut reader = packet.decompress().map_err(|_| Fault::Malformed)?;
    let mut content = Vec::new();
    let bound = u64::try_from(limit).unwrap_or(u64::MAX);
    reader
        .by_ref()
        .take(bound + 1)
        .read_to_end(&mut content)
        .map_err(|_| Fault::Malformed)?;
    if content.len() > limit {
        return Err(Fault::OtherText);
    }
    // Nothing may hide behind the end of the compressed stream.
    if reader.into_inner().is_empty() {
        Ok(content)
    } else {
        Err(Fault::Malformed)
    }
}

/// A clear-signed message (RFC 9580 section 7).
///
/// Its signature covers lines without what ends them: neither spaces at a line's end, nor the kind of
/// line ending, nor the last one. So only payloads that have none of these to lose can be signed this
/// way, except for one final newline, which GnuPG takes off.
fn clear_signed<'a>(text: &str, payload: &'a [u8]) -> Result<Claim<'a>, Fault> {
    let expected = std::str::from_utf8(payload).map_err(|_| Fault::OtherText)?;
    let expected = expected.strip_suffix('\n').unwrap_or(expected);
    let loses = |line: &str| line.ends_with([' ', '\t', '\r']);
    if expected.contains('\r') || expected.split('\n').any(loses) {
        return Err(Fault::OtherText);
    }
    let (header, body) = split_header(text).ok_or(Fault::Malformed)?;
    let (content, armored) = split_signature(body).ok_or(Fault::Malformed)?;
    if content != expected {
        return Err(Fault::OtherText);
    }
    let bytes = dearmor(armored, Label::Signature).ok_or(Fault::Malformed)?;
    let packets = packet::split(&bytes).ok_or(Fault::Malformed)?;
    let signature = only_signature(&packets, SignatureType::Text)?;
    let hash = signature.hash_alg().map(|hash| hash.to_string());
    if !header.is_empty() && !header.iter().any(|named| hash.as_deref() == Some(named)) {
        return Err(Fault::Malformed);
    }
    Ok(Claim {
        signature,
        signed: expected.as_bytes(),
    })
}

/// The hashes a clear-signed message announces, and what follows its header. No other header is
/// allowed: what stands there is unsigned and has been used to show text that nobody signed.
fn split_header(text: &str) -> Option<(Vec<&str>, &str)> {
    let (first, mut rest) = text.split_once('\n')?;
    if first.trim_ascii_end() != CLEARTEXT {
        return None;
    }
    let mut hashes = Vec::new();
    loop {
        let (line, after) = rest.split_once('\n')?;
        rest = after;
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            return Some((hashes, rest));
        }
        hashes.extend(line.strip_prefix("Hash: ")?.split(',').map(str::trim_ascii));
    }
}

/// The text with its dashes unescaped and its lines joined by newlines, and the armored signature.
fn split_signature(body: &str) -> Option<(String, &str)> {
    let mut content: Option<String> = None;
    let mut start = 0;
    for line in body.split_inclusive('\n') {
        let bare = line.strip_suffix('\n').unwrap_or(line);
        let bare = bare.strip_suffix('\r').unwrap_or(bare);
        let unescaped: Cow<'_, str> = match bare.strip_prefix("- ") {
            Some(unescaped) => unescaped.into(),
            None if bare.starts_with('-') => return Some((content.unwrap_or_default(), body.get(start..)?)),
            None => bare.into(),
        };
        match &mut content {
            Some(content) => {
                content.push('\n');
                content.push_str(&unescaped);
            }
            None => content = Some(unescaped.into_owned()),
        }
        start += line.len();
    }
    None
}
