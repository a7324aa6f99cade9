//! Webhooks: the notice as JSON, signed or with a password.

use aws_lc_rs::hmac;
use binauthz_core::time::UnixTime;
use zeroize::Zeroizing;

use super::{Channel, Message, Poster, Sending};

/// A receiver of notices over HTTP.
pub struct Webhook {
    poster: Poster,
    url: Zeroizing<String>,
    proof: Proof,
}

enum Proof {
    /// The secret of a signature.
    Secret(Zeroizing<String>),
    Password(String, Zeroizing<String>),
}

impl Webhook {
    /// A receiver that verifies signatures.
    pub fn signed(poster: Poster, url: String, secret: String) -> Webhook {
        Webhook {
            poster,
            url: url.into(),
            proof: Proof::Secret(secret.into()),
        }
    }

    /// A receiver that asks for a name and a password.
    pub fn with_password(poster: Poster, url: String, (name, password): (String, String)) -> Webhook {
        Webhook {
            poster,
            url: url.into(),
            proof: Proof::Password(name, password.into()),
        }
    }
}

/// `v1=` and the HMAC-SHA256 of the seconds, a dot and the body, in hexadecimal digits.
pub fn signature(secret: &str, now: UnixTime, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signed = format!("{}.{body}", now.as_seconds());
    format!("v1={}", hex::encode(hmac::sign(&key, signed.as_bytes())))
}

impl Channel for Webhook {
    fn send<'a>(&'a self, message: &'a Message<'a>) -> Sending<'a> {
        let body = message.notice.to_json().to_string();
        let signed = match &self.proof {
            Proof::Secret(secret) => Some(signature(secret, message.now, &body)),
            Proof::Password(..) => None,
        };
        let mut request = self
            .poster
            .json(&self.url, body)
            .header("X-Binauthz-Delivery", message.delivery)
            .header("X-Binauthz-Timestamp", message.now.as_seconds());
        if let Some(signature) = signed {
            request = request.header("X-Binauthz-Signature", signature);
        }
        if let Proof::Password(name, password) = &self.proof {
            request = request.basic_auth(name, Some(password.as_str()));
        }
        Box::pin(async move { self.poster.send(request).await.map(|_| ()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_speaks_for_time_and_body() {
        let known = signature("secret", UnixTime::from_seconds(7), "{}");
        // printf '7.{}' | openssl dgst -sha256 -hmac secret
        assert_eq!(
            known,
            "v1=76aad9429f417882918162a1928a38769fff65cc07b6bfa344ac9c5fb1e3448e"
        );
        for other in [
            signature("other", UnixTime::from_seconds(7), "{}"),
            signature("secret", UnixTime::from_seconds(8), "{}"),
            signature("secret", UnixTime::from_seconds(7), "{ }"),
        ] {
            assert_ne!(other, known);
        }
    }
}
