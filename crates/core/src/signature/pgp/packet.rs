//! OpenPGP packets, cut exactly: every byte belongs to one packet, and what is read writes back the same.
//!
//! The cutting is done here and not by the library because its reader takes a truncated packet at the
//! end for the end, and skips what it does not know; a judge may do neither.

use pgp::packet::{PacketHeader, PublicKey, PublicSubkey, Signature, UserId};
use pgp::ser::Serialize;
use pgp::types::Tag;
use std::borrow::Cow;

pub(super) const SIGNATURE: u8 = 2;
pub(super) const ONE_PASS_SIGNATURE: u8 = 4;
pub(super) const SECRET_KEY: u8 = 5;
pub(super) const PUBLIC_KEY: u8 = 6;
pub(super) const SECRET_SUBKEY: u8 = 7;
pub(super) const COMPRESSED: u8 = 8;
pub(super) const MARKER: u8 = 10;
pub(super) const LITERAL: u8 = 11;
pub(super) const TRUST: u8 = 12;
pub(super) const USER_ID: u8 = 13;
pub(super) const PUBLIC_SUBKEY: u8 = 14;
pub(super) const USER_ATTRIBUTE: u8 = 17;
pub(super) const PADDING: u8 = 21;

/// One packet: its type and its body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) tag: u8,
    pub(super) body: Cow<'a, [u8]>,
}

/// Cuts `bytes` into packets; `None` unless they are packets to the last byte.
pub(super) fn split(mut bytes: &[u8]) -> Option<Vec<Packet<'_>>> {
    let mut packets = Vec::new();
    while !bytes.is_empty() {
        let (packet, rest) = first(bytes)?;
        packets.push(packet);
        bytes = rest;
    }
    Some(packets)
}

fn first(bytes: &[u8]) -> Option<(Packet<'_>, &[u8])> {
    let (header, rest) = bytes.split_first()?;
    let whole = |tag, (body, rest)| {
        Some((
            Packet {
                tag,
                body: Cow::Borrowed(body),
            },
            rest,
        ))
    };
    match header >> 6 {
        0b11 => {
            let tag = header & 0x3f;
            match new_length(rest)? {
                (Length::Fixed(length), rest) => whole(tag, rest.split_at_checked(length)?),
                (Length::Partial(length), rest) => parts(tag, length, rest),
            }
        }
        0b10 => {
            let tag = (header >> 2) & 0x0f;
            let (length, rest) = match header & 0b11 {
                0 => number::<1>(rest)?,
                1 => number::<2>(rest)?,
                2 => number::<4>(rest)?,
                // Without a length: to the end. GnuPG writes compressed data so.
                _ if may_stream(tag) => return whole(tag, (rest, &[])),
                _ => return None,
            };
            whole(tag, rest.split_at_checked(length)?)
        }
        _ => None,
    }
}

enum Length {
    Fixed(usize),
    Partial(usize),
}

fn new_length(bytes: &[u8]) -> Option<(Length, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    Some(match first {
        0..=191 => (Length::Fixed(usize::from(*first)), rest),
        192..=223 => {
            let (second, rest) = rest.split_first()?;
            let length = (usize::from(*first) - 192) * 256 + usize::from(*second) + 192;
            (Length::Fixed(length), rest)
        }
        224..=254 => (Length::Partial(1 << (first & 0x1f)), rest),
        255 => {
            let (length, rest) = number::<4>(rest)?;
            (Length::Fixed(length), rest)
        }
    })
}

/// A body in parts: only data may come so, and the last part has a fixed length.
fn parts(tag: u8, mut length: usize, mut rest: &[u8]) -> Option<(Packet<'_>, &[u8])> {
    if !may_stream(tag) {
        return None;
    }
    let mut body = Vec::new();
    loop {
        let (part, after) = rest.split_at_checked(length)?;
        body.extend_from_slice(part);
        let (next, after) = new_length(after)?;
        match next {
            Length::Partial(next) => (length, rest) = (next, after),
            Length::Fixed(last) => {
                let (part, rest) = after.split_at_checked(last)?;
                body.extend_from_slice(part);
                return Some((
                    Packet {
                        tag,
                        body: Cow::Owned(body),
                    },
                    rest,
                ));
            }
        }
    }
}

const fn may_stream(tag: u8) -> bool {
    matches!(tag, LITERAL | COMPRESSED)
}

fn number<const N: usize>(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (digits, rest) = bytes.split_first_chunk::<N>()?;
    let value = digits.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
    Some((usize::try_from(value).ok()?, rest))
}

fn header(tag: Tag, body: &[u8]) -> Option<PacketHeader> {
    Some(PacketHeader::new_fixed(tag, u32::try_from(body.len()).ok()?))
}

/// The packet, if the library's reading of it is all there is in it: an integer with a wrong bit
/// count, for example, writes back differently.
fn exact<T: Serialize>(packet: T, rest: &[u8], body: &[u8]) -> Option<T> {
    let mut written = Vec::with_capacity(body.len());
    packet.to_writer(&mut written).ok()?;
    (rest.is_empty() && written == body).then_some(packet)
}

pub(super) fn signature(mut body: &[u8]) -> Option<Signature> {
    let whole = body;
    let packet = Signature::try_from_reader(header(Tag::Signature, whole)?, &mut body).ok()?;
    exact(packet, body, whole)
}

pub(super) fn public_key(mut body: &[u8]) -> Option<PublicKey> {
    let whole = body;
    let packet = PublicKey::try_from_reader(header(Tag::PublicKey, whole)?, &mut body).ok()?;
    exact(packet, body, whole)
}

pub(super) fn public_subkey(mut body: &[u8]) -> Option<PublicSubkey> {
    let whole = body;
    let packet = PublicSubkey::try_from_reader(header(Tag::PublicSubkey, whole)?, &mut body).ok()?;
    exact(packet, body, whole)
}

pub(super) fn user_id(mut body: &[u8]) -> Option<UserId> {
    let whole = body;
    let packet = UserId::try_from_reader(header(Tag::UserId, whole)?, &mut body).ok()?;
    exact(packet, body, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_length_is_read() {
        let table: [(&[u8], u8, &[u8]); 8] = [
            (&[0xc2, 2, 1, 2], 2, &[1, 2]),
            (&[0x88, 1, 9], 2, &[9]),
            (&[0x89, 0, 1, 9], 2, &[9]),
            (&[0x8a, 0, 0, 0, 1, 9], 2, &[9]),
            (&[0xc2, 255, 0, 0, 0, 1, 9], 2, &[9]),
            (&[0xcb, 0xe1, 1, 2, 1, 3], 11, &[1, 2, 3]),
            (&[0xa3, 7, 8], 8, &[7, 8]),
            (&[0xcd, 0], 13, &[]),
        ];
        for (bytes, tag, body) in table {
            let packets = split(bytes).unwrap();
            assert_eq!(packets.len(), 1, "{bytes:?}");
            assert_eq!((packets[0].tag, packets[0].body.as_ref()), (tag, body));
        }
        let long = [&[0xc2, 192, 8][..], &[5; 200]].concat();
        assert_eq!(split(&long).unwrap()[0].body.len(), 200);
    }

    /// A packet in one of the ways to write its length.
    fn written(tag: u8, body: &[u8], form: u8) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap();
        let [_, _, high, low] = length.to_be_bytes();
        let header = match form {
            0 if length < 192 => vec![0xc0 | tag, low],
            1 if (192..8384).contains(&length) => {
                let [_, _, high, low] = (length - 192).to_be_bytes();
                vec![0xc0 | tag, 192 + high, low]
            }
            2 if tag < 16 && length < 256 => vec![0x80 | tag << 2, low],
            3 if tag < 16 && length < 65536 => vec![0x81 | tag << 2, high, low],
            4 if tag < 16 => [&[0x82 | tag << 2][..], &length.to_be_bytes()].concat(),
            _ => [&[0xc0 | tag, 255][..], &length.to_be_bytes()].concat(),
        };
        [header, body.to_vec()].concat()
    }

    proptest::proptest! {
        #[test]
        fn what_was_written_is_cut_as_it_was(
            packets in proptest::collection::vec(
                (1_u8..64, proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), 0_u8..6),
                0..5,
            ),
        ) {
            let bytes: Vec<u8> = packets
                .iter()
                .flat_map(|(tag, body, form)| written(*tag, body, *form))
                .collect();
            let cut = split(&bytes).unwrap();
            let cut: Vec<(u8, &[u8])> = cut.iter().map(|packet| (packet.tag, packet.body.as_ref())).collect();
            let expected: Vec<(u8, &[u8])> =
                packets.iter().map(|(tag, body, _)| (*tag, body.as_slice())).collect();
            assert_eq!(cut, expected);
        }

        #[test]
        fn no_bytes_make_the_cutter_panic(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
        ) {
            for packet in split(&bytes).into_iter().flatten() {
                let _ = (signature(&packet.body), public_key(&packet.body), public_subkey(&packet.body));
            }
        }
    }

    #[test]
    fn a_cut_or_a_left_over_byte_is_refused() {
        let bad: [&[u8]; 11] = [
            &[0xc2],
            &[0xc2, 2, 1],
            &[0xc2, 1, 1, 0xc2],
            &[0xc2, 1, 1, 0],
            &[0x88],
            &[0x8b, 1, 2],
            &[0xc2, 0xe1, 1, 2, 1, 3],
            &[0xcb, 0xe1, 1, 2],
            &[0xcb, 0xe1, 1, 2, 0xe0, 3],
            &[0xc2, 255, 255, 255, 255, 255],
            b"text",
        ];
        for bytes in bad {
            assert_eq!(split(bytes), None, "{bytes:?}");
        }
    }
}
