//! JSON Web Tokens in compact form (RFC 7515, RFC 7519), taken apart. Nothing in one is believed here: whoever reads a
//! token knows what it says and not yet who says it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::json::{self, Limits, Object};

/// A token in its parts.
#[derive(Debug)]
pub struct Jwt<'a> {
    /// What the signature is over: the first two parts as they came.
    pub signed: &'a str,
    /// The header.
    pub header: Object,
    /// The claims.
    pub claims: Object,
    /// The signature.
    pub signature: Vec<u8>,
}

/// Why a text is not a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJwt {
    /// Too long, or not three parts of base64url without padding.
    #[error("it is not three parts of unpadded base64url, or it is too long")]
    Form,
    /// A part is not one JSON object.
    #[error("its {part} cannot be read: {why}")]
    Part {
        /// `header` or `claims`.
        part: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// Takes a token apart. `limits` are of the text as a whole and of each part. The cost is linear in the text whatever it
/// holds: it is split twice, never at every dot.
pub fn read(text: &str, limits: Limits) -> Result<Jwt<'_>, InvalidJwt> {
    if text.len() > limits.bytes {
        return Err(InvalidJwt::Form);
    }
    let (signed, signature) = text.rsplit_once('.').ok_or(InvalidJwt::Form)?;
    let (header, claims) = signed.split_once('.').ok_or(InvalidJwt::Form)?;
    // A dot in the claims is no letter of base64url, so a text of four parts ends here.
    Ok(Jwt {
        signed,
        header: object("header", header, limits)?,
        claims: object("claims", claims, limits)?,
        signature: decode(signature)?,
    })
}

fn decode(part: &str) -> Result<Vec<u8>, InvalidJwt> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| InvalidJwt::Form)
}

fn object(part: &'static str, text: &str, limits: Limits) -> Result<Object, InvalidJwt> {
    let unreadable = |why: String| InvalidJwt::Part {
        part,
        why: why.chars().take(200).collect(),
    };
    let value = json::parse(&decode(text)?, limits).map_err(|error| unreadable(error.to_string()))?;
    Object::new(value, part).map_err(|error| unreadable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(parts: &[&str]) -> String {
        let parts: Vec<String> = parts.iter().map(|part| URL_SAFE_NO_PAD.encode(part)).collect();
        parts.join(".")
    }

    #[test]
    fn a_token_comes_apart() {
        let text = token(&[r#"{"alg":"RS256"}"#, r#"{"iss":"i"}"#, "signature"]);
        let mut read = read(&text, Limits::API).unwrap();
        assert_eq!(read.header.take_string("alg").unwrap(), "RS256");
        assert_eq!(read.claims.take_string("iss").unwrap(), "i");
        assert_eq!(read.signature, b"signature");
        assert!(text.starts_with(read.signed));
    }

    #[test]
    fn other_texts_are_refused() {
        let good = token(&["{}", "{}", "s"]);
        assert!(read(&good, Limits::API).is_ok());
        let exactly = Limits {
            bytes: good.len(),
            ..Limits::API
        };
        assert!(read(&good, exactly).is_ok());
        let shorter = Limits {
            bytes: good.len() - 1,
            ..Limits::API
        };
        assert_eq!(read(&good, shorter).unwrap_err(), InvalidJwt::Form);
        for text in [
            "",
            ".",
            "..",
            "e30",
            "e30.e30",
            "e30.e30.s.s",
            "e30=.e30.cw",
            "e30.e30.cx",
            "e30.e30.c w",
            "e30.e30.+w",
        ] {
            assert!(read(text, Limits::API).is_err(), "{text}");
        }
        for (header, claims, part) in [
            ("[]", "{}", "header"),
            ("{}", "1", "claims"),
            ("{\"a\":1,\"a\":2}", "{}", "header"),
            ("{}", "{} {}", "claims"),
            ("", "{}", "header"),
        ] {
            let found = read(&token(&[header, claims, "s"]), Limits::API).map(|_| ());
            assert!(
                matches!(&found, Err(InvalidJwt::Part { part: named, .. }) if *named == part),
                "{found:?}"
            );
        }
    }
}
