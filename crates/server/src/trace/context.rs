//! W3C Trace Context: whose call a request is part of.

use http::HeaderMap;

/// The span a request was made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parent {
    trace: [u8; 16],
    span: [u8; 8],
    sampled: bool,
}

impl Parent {
    /// Of the header `traceparent`, if there is exactly one and it is valid; else the request begins a trace.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Parent> {
        let mut values = headers.get_all("traceparent").iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then(|| Parent::read(value))?
    }

    /// `VERSION-TRACE-SPAN-FLAGS`, lower-case hexadecimal. Later versions may go on behind the flags.
    pub(super) fn read(text: &str) -> Option<Parent> {
        let (known, rest) = text.split_at_checked(55)?;
        let mut parts = known.split('-');
        let version: [u8; 1] = bytes(parts.next()?)?;
        let trace: [u8; 16] = bytes(parts.next()?)?;
        let span: [u8; 8] = bytes(parts.next()?)?;
        let flags: [u8; 1] = bytes(parts.next()?)?;
        let is_whole = match version {
            [0] => rest.is_empty(),
            [0xff] => false,
            _ => rest.is_empty() || rest.starts_with('-'),
        };
        let is_named = trace != [0; 16] && span != [0; 8];
        (is_whole && is_named && parts.next().is_none()).then_some(Parent {
            trace,
            span,
            sampled: flags[0] & 1 == 1,
        })
    }

    pub(super) fn trace(self) -> [u8; 16] {
        self.trace
    }

    pub(super) fn span(self) -> [u8; 8] {
        self.span
    }

    /// Whether its trace is kept.
    pub(super) fn is_sampled(self) -> bool {
        self.sampled
    }
}

/// Exactly so many bytes, in lower case.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    hex::decode_to_slice(text, &mut bytes)
        .ok()
        .filter(|()| is_lower)?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_parent_is_read_as_it_is_specified() {
        let parent = Parent::read(GOOD).unwrap();
        assert_eq!(hex::encode(parent.trace()), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(hex::encode(parent.span()), "b7ad6b7169203331");
        assert!(parent.is_sampled());
        assert!(!Parent::read(&GOOD.replace("-01", "-02")).unwrap().is_sampled());
        assert!(Parent::read(&format!("cc{}-what-comes-later", &GOOD[2..])).is_some());
        for wrong in [
            "",
            "00",
            &GOOD[..54],
            &format!("{GOOD}-x"),
            &format!("{GOOD}0"),
            &format!("ff{}", &GOOD[2..]),
            &format!("cc{}x", &GOOD[2..]),
            &GOOD.to_uppercase(),
            &GOOD.replace("b7ad6b7169203331", "0000000000000000"),
            &GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &GOOD.replace('-', "_"),
            &GOOD.replace("0af7", "0ag7"),
            &"ü".repeat(40),
        ] {
            assert_eq!(Parent::read(wrong), None, "{wrong}");
        }
        let headers = |count: usize| {
            let pair = ("traceparent".parse().unwrap(), GOOD.parse().unwrap());
            let mut headers = HeaderMap::new();
            for (name, value) in vec![pair; count] {
                let name: http::HeaderName = name;
                headers.append(name, value);
            }
            headers
        };
        assert_eq!(Parent::of(&headers(1)), Some(parent));
        assert_eq!(Parent::of(&headers(2)), None);
        assert_eq!(Parent::of(&headers(0)), None);
    }

    proptest::proptest! {
        #[test]
        fn what_is_read_is_what_was_written(text in "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}|\\PC{0,80}") {
            if let Some(parent) = Parent::read(&text) {
                let written = format!("{}-{}", hex::encode(parent.trace()), hex::encode(parent.span()));
                proptest::prop_assert_eq!(&text[3..52], written);
            }
        }
    }
}
