//! `gcloud kms`: key rings, keys, versions and their life cycle, signing, IAM.

use binauthz_conformance::Desk;

use crate::story;

const KEY: &str = "--keyring=image-signing --location=global";
const OF_KEY: &str = "--key=image-signer --keyring=image-signing --location=global";

fn with_key() -> Option<Desk> {
    let desk = Desk::with(&["gcloud", "openssl"])?;
    story::key(&desk, "ec-sign-p256-sha256");
    Some(desk)
}

#[test]
fn rings_and_keys_are_listed_described_and_updated() {
    let Some(desk) = with_key() else { return };
    desk.ok("gcloud kms keyrings list --location=global")
        .says(&["keyRings/image-signing"]);
    desk.ok("gcloud kms keyrings describe image-signing --location=global")
        .says(&["createTime"]);
    desk.ok("gcloud kms locations list").says(&["global"]);
    desk.ok(&format!("gcloud kms keys list {KEY}")).says(&[
        "image-signer",
        "ASYMMETRIC_SIGN",
        "EC_SIGN_P256_SHA256",
    ]);
    desk.ok(&format!(
        "gcloud kms keys update image-signer {KEY} --update-labels=team=red"
    ));
    desk.ok(&format!(
        "gcloud kms keys update image-signer {KEY} --default-algorithm=ec-sign-p384-sha384"
    ));
    desk.ok(&format!("gcloud kms keys describe image-signer {KEY}"))
        .says(&["team: red", "EC_SIGN_P384_SHA384"]);
    desk.ok(&format!(
        "gcloud kms keys create empty {KEY} --purpose=asymmetric-signing --default-algorithm=rsa-sign-pss-2048-sha256 \
         --labels=a=b --skip-initial-version-creation"
    ));
    assert_eq!(
        desk.ok(&format!(
            "gcloud kms keys versions list --key=empty {KEY} --format='value(name)'"
        ))
        .text(),
        ""
    );
    desk.sh("gcloud kms keyrings create image-signing --location=global")
        .refused(&["ALREADY_EXISTS"]);
    desk.sh(&format!(
        "gcloud kms keys create image-signer {KEY} --purpose=asymmetric-signing --default-algorithm=ec-sign-p256-sha256"
    ))
    .refused(&["ALREADY_EXISTS"]);
}

#[test]
fn versions_live_and_die() {
    let Some(desk) = with_key() else { return };
    let versions = "gcloud kms keys versions";
    desk.ok(&format!("{versions} create {OF_KEY}"));
    desk.ok(&format!("{versions} list {OF_KEY}")).says(&[
        "cryptoKeyVersions/1",
        "cryptoKeyVersions/2",
        "ENABLED",
    ]);
    desk.ok(&format!("{versions} disable 1 {OF_KEY}"))
        .says(&["DISABLED"]);
    desk.ok("echo hello >message");
    let sign = format!(
        "gcloud kms asymmetric-sign --version=1 {OF_KEY} --digest-algorithm=sha256 --input-file=message \
                        --signature-file=message.sig"
    );
    desk.sh(&sign)
        .refused(&["cryptoKeyVersions/1 is not enabled, current state is: DISABLED"]);
    desk.ok(&format!("{versions} enable 1 {OF_KEY}"))
        .says(&["ENABLED"]);
    desk.ok(&sign);
    desk.ok(&format!("{versions} destroy 1 {OF_KEY}"));
    desk.ok(&format!("{versions} describe 1 {OF_KEY}"))
        .says(&["DESTROY_SCHEDULED", "destroyTime"]);
    desk.sh(&sign).refused(&["DESTROY_SCHEDULED"]);
    desk.ok(&format!("{versions} restore 1 {OF_KEY}"));
    desk.ok(&format!("{versions} describe 1 {OF_KEY}"))
        .says(&["DISABLED"]);
    desk.ok(&format!("{versions} enable 1 {OF_KEY}"));
    desk.ok(&sign);
    desk.ok(&format!("{versions} describe 1 {OF_KEY}"))
        .says(&["EC_SIGN_P256_SHA256", "SOFTWARE"]);
    desk.sh(&format!("{versions} describe 7 {OF_KEY}"))
        .refused(&["NOT_FOUND"]);
}

#[test]
fn what_is_signed_here_openssl_verifies() {
    let Some(desk) = Desk::with(&["gcloud", "openssl"]) else {
        return;
    };
    desk.ok("gcloud kms keyrings create image-signing --location=global && echo hello >message");
    let pss = "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest";
    let kinds = [
        ("ec-sign-p256-sha256", "sha256", ""),
        ("ec-sign-p384-sha384", "sha384", ""),
        ("rsa-sign-pkcs1-2048-sha256", "sha256", ""),
        ("rsa-sign-pss-3072-sha256", "sha256", pss),
        ("rsa-sign-pss-4096-sha512", "sha512", pss),
    ];
    for (algorithm, digest, options) in kinds {
        let key = format!("--key={algorithm} {KEY}");
        desk.ok(&format!(
            "gcloud kms keys create {algorithm} {KEY} --purpose=asymmetric-signing --default-algorithm={algorithm}
             gcloud kms asymmetric-sign --version=1 {key} --digest-algorithm={digest} --input-file=message --signature-file=sig
             gcloud kms keys versions get-public-key 1 {key} --output-file=public.pem
             openssl dgst -{digest} {options} -verify public.pem -signature sig message"
        ))
        .says(&["Verified OK"]);
    }
    // Without a digest the server hashes.
    let key = format!("--key=ec-sign-p256-sha256 {KEY}");
    desk.ok(&format!(
        "gcloud kms asymmetric-sign --version=1 {key} --input-file=message --signature-file=sig
         gcloud kms keys versions get-public-key 1 {key} --output-file=public.pem
         openssl dgst -sha256 -verify public.pem -signature sig message"
    ))
    .says(&["Verified OK"]);
    desk.sh(&format!(
        "gcloud kms asymmetric-sign --version=1 {key} --digest-algorithm=sha512 --input-file=message --signature-file=sig"
    ))
    .refused(&["INVALID_ARGUMENT"]);
}

#[test]
fn keys_and_rings_have_iam_policies() {
    let Some(desk) = with_key() else { return };
    let member = "--member=user:jane@example.com --role=roles/cloudkms.signer";
    for noun in [
        format!("keys $VERB image-signer {KEY}"),
        "keyrings $VERB image-signing --location=global".to_owned(),
    ] {
        let run = |verb: &str, rest: &str| {
            let (kind, rest_of_noun) = noun
                .split_once(" $VERB ")
                .expect("the noun has a place for its verb");
            desk.ok(&format!("gcloud kms {kind} {verb} {rest_of_noun} {rest}"))
        };
        run("add-iam-policy-binding", member).says(&["jane@example.com"]);
        run("get-iam-policy", "--format=json").says(&["roles/cloudkms.signer", "etag"]);
        run("remove-iam-policy-binding", member).never_says("jane@example.com");
    }
}
