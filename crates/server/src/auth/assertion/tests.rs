use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use binauthz_keyring::{HashAlgorithm, KeyAlgorithm, MessageDigest, SoftwareKey};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::auth::Role;

const NOW: i64 = 1_800_000_000;

/// The owner of a credential.
struct Owner {
    rsa: SoftwareKey,
    credential: Credential,
}

impl Owner {
    fn new(id: &str) -> Owner {
        let rsa = SoftwareKey::generate(KeyAlgorithm::RsaSignPkcs12048Sha256).unwrap();
        let key = Credential::read_key(&rsa.public_key_pem().unwrap()).unwrap();
        let credential = Credential::new(id.to_owned(), Role::Admin, key, None);
        Owner { rsa, credential }
    }

    fn header(&self) -> Value {
        json!({ "typ": "JWT", "alg": "RS256", "kid": self.credential.key_id() })
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = [header, claims]
            .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()))
            .join(".");
        let digest = MessageDigest::of(HashAlgorithm::Sha256, signed.as_bytes());
        let signature = self.rsa.sign_digest(&digest).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// As Google's libraries sign for a token.
    fn claims(&self) -> Value {
        json!({
            "iss": self.credential.email(),
            "aud": TOKEN_URI,
            "iat": NOW,
            "exp": NOW + 3_600,
            "scope": "https://www.googleapis.com/auth/cloud-platform",
        })
    }
}

fn verify(text: &str, credential: Option<&Credential>, purpose: Purpose) -> Result<i64, InvalidAssertion> {
    let claimed = Claimed::read(text)?;
    let assertion = claimed.verify(credential, purpose, UnixTime::from_seconds(NOW))?;
    Ok(assertion.expires().as_seconds())
}

fn changed(value: &Value, member: &str, to: Value) -> Value {
    let mut value = value.clone();
    value[member] = to;
    value
}

#[test]
fn what_the_owner_signed_holds_and_nothing_else_does() {
    let (owner, other) = (Owner::new("ci"), Owner::new("ci"));
    let (header, claims) = (owner.header(), owner.claims());
    let good = owner.sign(&header, &claims);
    let ours = Some(&owner.credential);
    assert_eq!(verify(&good, ours, Purpose::Token), Ok(NOW + 3_600));
    let without_key_id = owner.sign(&json!({ "alg": "RS256" }), &claims);
    assert!(verify(&without_key_id, ours, Purpose::Token).is_ok());

    let by_another = other.sign(&header, &claims);
    let (body, signature) = good.rsplit_once('.').unwrap();
    let cut = format!("{body}.{}", &signature[..signature.len() - 2]);
    let moved = owner.sign(&header, &changed(&claims, "iss", json!("cd@binauthz.invalid")));
    let foreign = owner.sign(&header, &changed(&claims, "iss", json!("ci@example.com")));
    let other_key = owner.sign(&changed(&header, "kid", json!("0")), &claims);
    let by_curve = owner.sign(&changed(&header, "alg", json!("ES256")), &claims);
    let unsigned = format!("{body}.");
    for text in [
        &by_another,
        &cut,
        &moved,
        &foreign,
        &other_key,
        &by_curve,
        &unsigned,
    ] {
        assert_eq!(
            verify(text, ours, Purpose::Token),
            Err(InvalidAssertion::Signature),
            "{text}"
        );
    }
    assert_eq!(
        verify(&good, None, Purpose::Token),
        Err(InvalidAssertion::Signature)
    );
    let ended = Credential::new(
        "ci".to_owned(),
        Role::Admin,
        owner.credential.key().clone(),
        Some(UnixTime::from_seconds(NOW)),
    );
    assert_eq!(
        verify(&good, Some(&ended), Purpose::Token),
        Err(InvalidAssertion::Signature)
    );
}

#[test]
fn the_header_chooses_nothing() {
    let owner = Owner::new("ci");
    for algorithm in ["none", "HS256", "PS256", "RS512", "rs256", ""] {
        let text = owner.sign(
            &changed(&owner.header(), "alg", json!(algorithm)),
            &owner.claims(),
        );
        let error = verify(&text, Some(&owner.credential), Purpose::Token).unwrap_err();
        let is_refused = matches!(
            error,
            InvalidAssertion::Algorithm(_) | InvalidAssertion::Part { part: "header", .. }
        );
        assert!(is_refused, "{algorithm}: {error}");
    }
    let text = owner.sign(&changed(&owner.header(), "crit", json!(["exp"])), &owner.claims());
    assert_eq!(
        verify(&text, Some(&owner.credential), Purpose::Token),
        Err(InvalidAssertion::Critical)
    );
}

#[test]
fn a_p256_key_signs_in_the_fixed_form() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    // The SPKI of a P-256 key is a constant and the point.
    let prefix = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
    let der = [prefix.as_slice(), pair.public_key().as_ref()].concat();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        base64::engine::general_purpose::STANDARD.encode(der)
    );
    let key = Credential::read_key(&pem).unwrap();
    let credential = Credential::new("ci".to_owned(), Role::Viewer, key, None);
    let sign = |algorithm: &str| {
        let claims = Owner::new("ci").claims();
        let signed = [json!({ "alg": algorithm }), claims]
            .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()))
            .join(".");
        let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    assert!(verify(&sign("ES256"), Some(&credential), Purpose::Token).is_ok());
    assert_eq!(
        verify(&sign("RS256"), Some(&credential), Purpose::Token),
        Err(InvalidAssertion::Signature)
    );
}

#[test]
fn every_claim_is_looked_at() {
    let owner = Owner::new("ci");
    let ours = Some(&owner.credential);
    let check = |purpose, member: &str, to: Value| {
        let claims = changed(&owner.claims(), member, to);
        verify(&owner.sign(&owner.header(), &claims), ours, purpose)
    };
    let time = |purpose, issued: i64, expires: i64| {
        let claims = changed(&owner.claims(), "iat", json!(issued));
        let claims = changed(&claims, "exp", json!(expires));
        let claims = match purpose {
            Purpose::Token => claims,
            Purpose::Call => changed(&claims, "aud", json!("https://logging.googleapis.com/")),
        };
        verify(&owner.sign(&owner.header(), &claims), ours, purpose)
    };
    use InvalidAssertion as E;
    assert!(check(Purpose::Token, "sub", json!(owner.credential.email())).is_ok());
    assert_eq!(
        check(Purpose::Token, "sub", json!("jane@example.com")),
        Err(E::Subject)
    );
    for (purpose, audience, is_right) in [
        (Purpose::Token, json!(TOKEN_URI), true),
        (Purpose::Token, json!("https://oauth2.googleapis.com/"), false),
        (Purpose::Token, json!("https://logging.googleapis.com/"), false),
        (Purpose::Token, Value::Null, false),
        (Purpose::Call, json!("https://logging.googleapis.com/"), true),
        (Purpose::Call, json!("https://logging.googleapis.com"), true),
        (Purpose::Call, Value::Null, true),
        (Purpose::Call, json!(TOKEN_URI), false),
        (Purpose::Call, json!("https://storage.googleapis.com/"), false),
        (Purpose::Call, json!("http://logging.googleapis.com/"), false),
    ] {
        let outcome = check(purpose, "aud", audience.clone());
        assert_eq!(outcome.is_ok(), is_right, "{purpose:?} {audience}: {outcome:?}");
    }
    // Without an audience it is the scope that says what it is for.
    let bare = changed(
        &changed(&owner.claims(), "aud", Value::Null),
        "scope",
        Value::Null,
    );
    assert!(verify(&owner.sign(&owner.header(), &bare), ours, Purpose::Call).is_err());
    let (token, call) = (Purpose::Token, Purpose::Call);
    for (purpose, issued, expires, expected) in [
        (token, NOW - 600, NOW + 1, Ok(NOW + 1)),
        (token, NOW - 601, NOW + 1, Err(E::Old)),
        (call, NOW - 3_599, NOW + 1, Ok(NOW + 1)),
        (call, NOW - 3_600, NOW, Err(E::Expired)),
        (token, NOW + 300, NOW + 3_900, Ok(NOW + 3_900)),
        (token, NOW + 301, NOW + 400, Err(E::Early)),
        (call, NOW, NOW + 3_601, Err(E::Life)),
        (call, NOW, NOW, Err(E::Expired)),
        (call, NOW + 10, NOW + 10, Err(E::Life)),
        (call, i64::MIN, i64::MAX, Err(E::Life)),
        (call, i64::MAX, i64::MIN, Err(E::Expired)),
    ] {
        assert_eq!(
            time(purpose, issued, expires),
            expected,
            "{purpose:?} {issued} {expires}"
        );
    }
}

#[test]
fn what_is_no_jwt_is_not_read() {
    let long = "a".repeat(MAX_ASSERTION);
    let good = Owner::new("ci").sign(
        &json!({ "alg": "RS256" }),
        &json!({ "iss": "x", "iat": 1, "exp": 2 }),
    );
    assert!(Claimed::read(&good).is_ok());
    for text in [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c.d",
        "binauthz_abc",
        &format!("{long}.a.a"),
        &format!("{good}="),
    ] {
        assert!(Claimed::read(text).is_err(), "{text}");
    }
    let signed = |header: &str, claims: &str| {
        format!(
            "{}.{}.AA",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        )
    };
    let header = r#"{"alg":"RS256"}"#;
    for (header, claims) in [
        ("[]", "{}"),
        ("{}", "{}"),
        (header, "[]"),
        (header, "{}"),
        (header, r#"{"iss":"a","iat":1}"#),
        (header, r#"{"iss":"a","iat":1.5,"exp":2}"#),
        (header, r#"{"iss":"a","iss":"b","iat":1,"exp":2}"#),
        (header, r#"{"iss":["a"],"iat":1,"exp":2}"#),
        (header, r#"{"iss":"a","iat":1,"exp":2,"aud":["a"]}"#),
        (
            r#"{"alg":"RS256","alg":"RS256"}"#,
            r#"{"iss":"a","iat":1,"exp":2}"#,
        ),
    ] {
        let text = signed(header, claims);
        assert!(
            matches!(Claimed::read(&text), Err(InvalidAssertion::Part { .. })),
            "{header} {claims}"
        );
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[a-zA-Z0-9_=.-]{0,200}") {
        let _ = Claimed::read(&text);
    }

    /// Whatever is in a header and in claims, it is refused with a reason or read; and never believed without a signature.
    #[test]
    fn nothing_unsigned_is_believed(
        header in "\\PC{0,40}|[{]\"alg\":\"RS256\"[}]",
        claims in "\\PC{0,60}|[{]\"iss\":\"ci@binauthz.invalid\",\"iat\":[0-9]{1,19},\"exp\":-?[0-9]{1,19}[}]",
        signature in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        let text = format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(signature));
        if let Ok(claimed) = Claimed::read(&text) {
            let key = Credential::read_key(include_str!("../testdata/p256.pem")).unwrap();
            let credential = Credential::new("ci".to_owned(), Role::Admin, key, None);
            for purpose in [Purpose::Token, Purpose::Call] {
                let outcome = claimed.verify(Some(&credential), purpose, UnixTime::from_seconds(NOW));
                prop_assert_eq!(outcome, Err(InvalidAssertion::Signature));
            }
        }
    }
}
