use super::*;
use crate::json::{Limits, parse};

fn value(text: &str) -> Value {
    parse(text.as_bytes(), Limits::API).unwrap()
}

fn problem<T: std::fmt::Debug>(result: Result<T, InvalidField>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_key_is_read_with_names_and_with_numbers() {
    let expected = NewCryptoKey {
        algorithm: "RSA_SIGN_PKCS1_4096_SHA512",
        protection: ProtectionLevel::Software,
        labels: vec![("team".to_owned(), "a-1".to_owned())],
        destroy_scheduled_duration: Some(Duration::from_secs(86_400)),
    };
    for text in [
        r#"{"purpose":"ASYMMETRIC_SIGN","versionTemplate":{"algorithm":"RSA_SIGN_PKCS1_4096_SHA512","protectionLevel":"SOFTWARE"},"labels":{"team":"a-1"},"destroyScheduledDuration":"86400s"}"#,
        r#"{"purpose":5,"version_template":{"algorithm":16,"protection_level":1},"labels":{"team":"a-1"},"destroy_scheduled_duration":"86400s","name":"x","primary":{}}"#,
        r#"{"purpose":5,"versionTemplate":{"algorithm":16},"labels":{"team":"a-1"},"destroyScheduledDuration":"86400s","importOnly":false}"#,
    ] {
        assert_eq!(read_new_crypto_key(value(text)).unwrap(), expected, "{text}");
    }
}

#[test]
fn what_a_signing_key_cannot_be_is_refused_by_name() {
    let cases = [
        ("{}", "`purpose`"),
        (
            r#"{"purpose":"ENCRYPT_DECRYPT"}"#,
            "`purpose`: this server keeps signing keys only",
        ),
        (r#"{"purpose":"SIGN"}"#, "`purpose` is `SIGN`"),
        (r#"{"purpose":5}"#, "`versionTemplate` is required"),
        (
            r#"{"purpose":5,"versionTemplate":{}}"#,
            "`versionTemplate.algorithm`",
        ),
        (
            r#"{"purpose":5,"versionTemplate":{"algorithm":1}}"#,
            "`versionTemplate.algorithm` is 1",
        ),
        (
            r#"{"purpose":5,"versionTemplate":{"algorithm":"HMAC_SHA256"}}"#,
            "`versionTemplate.algorithm` is `HMAC_SHA256`",
        ),
        (
            r#"{"purpose":5,"versionTemplate":{"algorithm":16,"protectionLevel":"EXTERNAL"}}"#,
            "`versionTemplate.protectionLevel`",
        ),
        (
            r#"{"purpose":5,"versionTemplate":{"algorithm":16},"rotationPeriod":"86400s"}"#,
            "`rotationPeriod`",
        ),
        (
            r#"{"purpose":5,"versionTemplate":{"algorithm":16},"importOnly":true}"#,
            "`importOnly`",
        ),
        (
            r#"{"purpose":5,"versionTemplate":{"algorithm":16},"destroyScheduledDuration":"1.5s"}"#,
            "`destroyScheduledDuration`",
        ),
        (
            r#"{"purpose":5,"versionTemplate":{"algorithm":16},"cryptoKeyBackend":"x"}"#,
            "`cryptoKeyBackend`",
        ),
        (
            r#"{"purpose":5,"versionTemplate":{"algorithm":16},"labels":{"Team":"a"}}"#,
            "`labels`: `Team`",
        ),
        (
            r#"{"purpose":5,"versionTemplate":{"algorithm":16},"labels":{"1":"a"}}"#,
            "`labels`: `1`",
        ),
        (
            r#"{"purpose":5,"versionTemplate":{"algorithm":16},"labels":{"t":"a b"}}"#,
            "`labels`: `t`",
        ),
    ];
    for (text, expected) in cases {
        let found = problem(read_new_crypto_key(value(text)));
        assert!(found.contains(expected), "{text}: {found}");
    }
}

#[test]
fn only_two_states_can_be_asked_for() {
    assert_eq!(
        read_version_patch(value(r#"{"state":"DISABLED","name":"x"}"#)).unwrap(),
        RequestedState::Disabled
    );
    assert_eq!(
        read_version_patch(value(r#"{"state":1}"#)).unwrap(),
        RequestedState::Enabled
    );
    for text in [
        r#"{"state":"DESTROYED"}"#,
        r#"{"state":4}"#,
        "{}",
        r#"{"state":"ON"}"#,
        r#"{"state":1,"x":1}"#,
    ] {
        assert!(read_version_patch(value(text)).is_err(), "{text}");
    }
}

#[test]
fn a_sign_request_has_one_input_and_its_own_checksum() {
    let digest = read_sign_request(value(
        r#"{"digest":{"sha512":"_-8="},"digestCrc32c":"2021530390"}"#,
    ))
    .unwrap();
    assert_eq!(
        digest.input,
        SignInput::Digest(DigestKind::Sha512, vec![0xff, 0xef])
    );
    assert_eq!(digest.crc32c, Some(2_021_530_390));
    let data = read_sign_request(value(r#"{"name":"n","data":"aGVsbG8=","dataCrc32c":5}"#)).unwrap();
    assert_eq!(
        (data.input, data.crc32c),
        (SignInput::Data(b"hello".to_vec()), Some(5))
    );
    // The checksum of the other field is no checksum of this one.
    assert_eq!(
        read_sign_request(value(r#"{"data":"aGVsbG8=","digestCrc32c":5}"#))
            .unwrap()
            .crc32c,
        None
    );
    for text in [
        "{}",
        r#"{"digest":{}}"#,
        r#"{"digest":{"sha1":"AAAA"}}"#,
        r#"{"digest":{"sha256":"AAAA","sha512":"AAAA"}}"#,
        r#"{"digest":{"sha256":"AAAA"},"data":"AAAA"}"#,
        r#"{"digest":{"sha256":"!"}}"#,
        r#"{"data":"AAAA","dataCrc32c":"x"}"#,
        r#"{"data":"AAAA","more":1}"#,
    ] {
        assert!(read_sign_request(value(text)).is_err(), "{text}");
    }
}

#[test]
fn a_format_is_a_name_or_a_number() {
    for (text, expected) in [
        (None, PublicKeyFormat::Pem),
        (Some("PEM"), PublicKeyFormat::Pem),
        (Some("0"), PublicKeyFormat::Pem),
        (Some("2"), PublicKeyFormat::Der),
        (Some("DER"), PublicKeyFormat::Der),
        (Some("NIST_PQC"), PublicKeyFormat::NistPqc),
        (Some("3"), PublicKeyFormat::NistPqc),
    ] {
        assert_eq!(read_public_key_format(text).unwrap(), expected);
    }
    assert!(read_public_key_format(Some("XWING")).is_err());
}

#[test]
fn replies_are_what_clients_check() {
    let request = SignRequest {
        input: SignInput::Data(vec![1]),
        crc32c: Some(1),
    };
    assert_eq!(
        write_signature("n", ProtectionLevel::Software, &request, (&[0xff], 7)),
        json!({"name":"n","protectionLevel":"SOFTWARE","signature":"/w==","signatureCrc32c":"7","verifiedDataCrc32c":true})
    );
    let key = CryptoKey {
        name: "n",
        algorithm: "EC_SIGN_P256_SHA256",
        protection: ProtectionLevel::Software,
        labels: &[("x".to_owned(), "y".to_owned())],
        destroy_scheduled_duration: Duration::from_secs(2_592_000),
        created: UnixTime::from_seconds(0),
    };
    assert_eq!(
        write_crypto_key(&key),
        json!({
            "name": "n",
            "purpose": "ASYMMETRIC_SIGN",
            "createTime": "1970-01-01T00:00:00Z",
            "versionTemplate": { "protectionLevel": "SOFTWARE", "algorithm": "EC_SIGN_P256_SHA256" },
            "labels": { "x": "y" },
            "destroyScheduledDuration": "2592000s",
        })
    );
}
