//! What is believed of an ID token, by keys made here.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use binauthz_wire::json::parse;
use serde_json::json;

use super::keys::Key;
use super::*;

const NOW: i64 = 1_800_000_000;

fn encode(value: &serde_json::Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn ec() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
}

fn ec_jwk(key: &EcdsaKeyPair, id: &str) -> serde_json::Value {
    let point = key.public_key().as_ref();
    json!({ "kty": "EC", "crv": "P-256", "kid": id, "alg": "ES256", "use": "sig",
        "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..]) })
}

fn token(key: &EcdsaKeyPair, header: &serde_json::Value, claims: &serde_json::Value) -> String {
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn issuer(text: &str) -> Issuer {
    serde_saphyr::from_str(text).unwrap()
}

fn plain() -> Issuer {
    issuer(
        "{issuer: 'https://ci.example', audiences: [binauthz], requiredClaims: {owner: acme}, attributes: [repository, groups]}",
    )
}

fn claims() -> serde_json::Value {
    json!({ "iss": "https://ci.example", "sub": "repo:acme/app", "aud": "binauthz", "owner": "acme",
        "iat": NOW - 10, "exp": NOW + 300, "repository": "acme/app", "groups": ["a", "b", 7, "with space"] })
}

fn judged(issuer: &Issuer, claims: &serde_json::Value) -> Result<(String, Vec<String>), Refused> {
    let claims = parse(claims.to_string().as_bytes(), LIMITS).unwrap();
    believed(issuer, &claims, NOW)
}

#[test]
fn somebody_is_issuer_and_subject_and_has_attributes() {
    let (principal, names) = judged(&plain(), &claims()).unwrap();
    assert_eq!(principal, "principal://ci.example/subject/repo:acme/app");
    assert_eq!(
        names,
        [
            "principalSet://ci.example/attribute.repository/acme/app",
            "principalSet://ci.example/attribute.groups/a",
            "principalSet://ci.example/attribute.groups/b",
        ]
    );
    let mut several = claims();
    several["aud"] = json!(["other", "binauthz"]);
    judged(&plain(), &several).unwrap();
}

#[test]
fn what_is_missing_mistyped_or_for_somebody_else_is_refused() {
    let table: [(&str, serde_json::Value, Refused); 17] = [
        ("aud", json!("other"), Refused::Audience),
        ("aud", json!(["other"]), Refused::Audience),
        ("aud", json!("binauthz2"), Refused::Audience),
        ("aud", json!({ "binauthz": true }), Refused::Audience),
        ("exp", json!(NOW), Refused::Expired),
        ("exp", json!(NOW.to_string()), Refused::Claim("exp")),
        ("exp", json!(1e30), Refused::Claim("exp")),
        ("exp", json!(null), Refused::Claim("exp")),
        ("iat", json!("now"), Refused::Claim("iat")),
        ("iat", json!(NOW + 61), Refused::Early),
        ("iat", json!(null), Refused::Claim("iat")),
        ("nbf", json!(NOW + 61), Refused::Early),
        ("nbf", json!("0"), Refused::Claim("nbf")),
        ("sub", json!(""), Refused::Claim("sub")),
        ("sub", json!("two words"), Refused::Claim("sub")),
        ("owner", json!("acme2"), Refused::Required("owner".to_owned())),
        ("owner", json!(["acme"]), Refused::Required("owner".to_owned())),
    ];
    for (claim, value, expected) in table {
        let mut wrong = claims();
        wrong[claim] = value.clone();
        assert_eq!(judged(&plain(), &wrong), Err(expected), "{claim}: {value}");
    }
    for claim in ["aud", "exp", "iat", "sub", "owner"] {
        let mut wrong = claims();
        wrong.as_object_mut().unwrap().remove(claim);
        assert!(judged(&plain(), &wrong).is_err(), "{claim}");
    }
}

#[test]
fn an_address_is_believed_when_it_is_verified_plain_and_of_a_domain_of_the_issuer() {
    let issuer = issuer(
        "{issuer: 'https://ci.example', audiences: [binauthz], principal: email, emailDomains: [corp.example]}",
    );
    let with = |email: &str, verified: serde_json::Value| {
        let mut claims = claims();
        claims["email"] = json!(email);
        claims["email_verified"] = verified;
        judged(&issuer, &claims)
    };
    let (principal, names) = with("jane@corp.example", json!(true)).unwrap();
    assert_eq!(principal, "user:jane@corp.example");
    assert_eq!(names, ["principal://ci.example/subject/repo:acme/app"]);
    for (email, verified) in [
        ("jane@corp.example", json!(false)),
        ("jane@corp.example", json!("true")),
        ("jane@corp.example", json!(null)),
        ("a@b@corp.example", json!(true)),
        ("jane@evil.example", json!(true)),
        ("jane@sub.corp.example", json!(true)),
        ("jane@CORP.example", json!(true)),
        ("@corp.example", json!(true)),
        ("jané@corp.example", json!(true)),
        ("jane", json!(true)),
    ] {
        assert_eq!(
            with(email, verified.clone()),
            Err(Refused::Email),
            "{email} {verified}"
        );
    }
}

#[test]
fn only_the_issuers_own_key_counts_and_only_for_its_algorithm() {
    let (ours, theirs) = (ec(), ec());
    let set = json!({ "keys": [ec_jwk(&ours, "1"), ec_jwk(&theirs, "2")] });
    let keys = Key::read_set(set.to_string().as_bytes()).unwrap();
    let judge = |text: &str| {
        let jws = Jws::read(text)?;
        Some(Key::of(&keys, &jws)?.has_signed(&jws))
    };
    let header = json!({ "alg": "ES256", "kid": "1", "typ": "JWT" });
    let good = token(&ours, &header, &claims());
    assert_eq!(judge(&good), Some(true));
    assert_eq!(judge(&token(&theirs, &header, &claims())), Some(false));
    // A key that the token brings along is not looked at; one of two without a name is none.
    for (header, expected) in [
        (
            json!({ "alg": "ES256", "kid": "3", "jwk": ec_jwk(&ours, "3") }),
            None,
        ),
        (json!({ "alg": "ES256" }), None),
        (json!({ "alg": "RS256", "kid": "1" }), None),
        (json!({ "alg": "none", "kid": "1" }), None),
        (json!({ "alg": "HS256", "kid": "1" }), None),
        (
            json!({ "alg": "ES256", "kid": "1", "crit": ["b64"], "b64": false }),
            None,
        ),
        (
            json!({ "alg": "ES256", "kid": "1", "jku": "https://evil.example" }),
            Some(true),
        ),
    ] {
        assert_eq!(judge(&token(&ours, &header, &claims())), expected, "{header}");
    }
    let mut bytes = good.into_bytes();
    let last = bytes.len() - 5;
    bytes[last] = if bytes[last] == b'A' { b'B' } else { b'A' };
    assert_eq!(judge(&String::from_utf8(bytes).unwrap()), Some(false));
    // A million dots are one look.
    assert_eq!(judge(&".".repeat(1 << 20)), None);
}

#[test]
fn rsa_keys_of_usual_sizes_verify() {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    // SEQUENCE, INTEGER of 257 bytes, INTEGER of three.
    let public = key.public_key().as_ref();
    let jwk = json!({ "kty": "RSA", "kid": "r",
        "n": URL_SAFE_NO_PAD.encode(&public[9..265]), "e": URL_SAFE_NO_PAD.encode(&public[267..]) });
    let keys = Key::read_set(json!({ "keys": [jwk] }).to_string().as_bytes()).unwrap();
    let signed = format!("{}.{}", encode(&json!({ "alg": "RS256" })), encode(&claims()));
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        signed.as_bytes(),
        &mut signature,
    )
    .unwrap();
    let text = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(&signature));
    let jws = Jws::read(&text).unwrap();
    assert!(Key::of(&keys, &jws).unwrap().has_signed(&jws));
    signature[0] ^= 1;
    let text = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(&signature));
    let jws = Jws::read(&text).unwrap();
    assert!(!Key::of(&keys, &jws).unwrap().has_signed(&jws));
}

#[test]
fn a_key_set_has_keys_that_can_be_used() {
    let good = ec_jwk(&ec(), "1");
    let changed = |name: &str, value: serde_json::Value| {
        let mut key = good.clone();
        key[name] = value;
        key
    };
    let modulus = |bytes: usize| URL_SAFE_NO_PAD.encode(vec![0xff_u8; bytes]);
    for (key, is_usable) in [
        (good.clone(), true),
        (changed("use", json!("enc")), false),
        (changed("alg", json!("ES384")), false),
        (changed("crv", json!("P-384")), false),
        (changed("kty", json!("oct")), false),
        (changed("x", json!("AA")), false),
        (json!({ "kty": "RSA", "n": modulus(256), "e": "AQAB" }), true),
        (json!({ "kty": "RSA", "n": modulus(128), "e": "AQAB" }), false),
        (json!({ "kty": "RSA", "n": modulus(1_024), "e": "AQAB" }), false),
        (json!({ "kty": "RSA", "n": modulus(256), "e": "Aw" }), false),
        (json!("key"), false),
    ] {
        let set = json!({ "keys": [key] }).to_string();
        assert_eq!(Key::read_set(set.as_bytes()).is_ok(), is_usable, "{set}");
    }
    let many = json!({ "keys": vec![good; 65] }).to_string();
    assert!(Key::read_set(many.as_bytes()).is_err());
    for set in ["", "{}", "[]", r#"{"keys":{}}"#] {
        assert!(Key::read_set(set.as_bytes()).is_err(), "{set}");
    }
}
