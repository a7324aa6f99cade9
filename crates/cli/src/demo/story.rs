//! The tutorial, step by step. Each step says what it has shown only after it has come out as it should.

use std::path::Path;

use super::{
    ledger::{self, Expected},
    review::{self, Reply},
    stage::{Image, PROJECT, Stage},
};
use crate::{failure::Failure, yaml};

const POLICY: &str = include_str!("policy.yaml");
const EMERGENCY: &str = include_str!("emergency-deployment.yaml");
const INCIDENT: &str = "Emergency fix for incident INC-1234";
const ATTESTOR: &str = "projects/demo/attestors/image-signing-attestor";
const KEY: [&str; 4] = [
    "--keyversion-location=global",
    "--keyversion-keyring=image-signing",
    "--keyversion-key=image-signer",
    "--keyversion=1",
];

/// Tells it from beginning to end.
pub(super) async fn tell(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let signed = Image::build("myservice");
    let unsigned = Image::build("unattested-image");
    open_for_business(stage).await?;
    make_a_key(stage).await?;
    make_an_attestor(stage).await?;
    set_the_policy(stage).await?;
    deploy_unsigned(stage, &unsigned).await?;
    sign(stage, &signed).await?;
    deploy_signed(stage, &signed).await?;
    deploy_a_tag(stage, &unsigned).await?;
    break_the_glass(stage).await?;
    run_dry(stage, &unsigned).await?;
    list_attestations(stage, &signed).await?;
    read_the_log(stage).await
}

async fn open_for_business(stage: &mut Stage<'_>) -> Result<(), Failure> {
    stage
        .screen
        .title("Turn the services on and register the cluster");
    stage
        .run(&[
            "services",
            "enable",
            "binaryauthorization.googleapis.com",
            "containeranalysis.googleapis.com",
            "container.googleapis.com",
        ])
        .await?;
    stage
        .run(&[
            "clusters",
            "create",
            "my-cluster",
            "--zone=us-central1-a",
            "--binauthz-evaluation-mode=DISABLED",
        ])
        .await?;
    let update = ["clusters", "update", "my-cluster", "--zone=us-central1-a"];
    let mode = "--binauthz-evaluation-mode=PROJECT_SINGLETON_POLICY_ENFORCE";
    stage.run(&[&update[..], &[mode]].concat()).await?;
    stage
        .screen
        .proof("from now on the cluster asks before anything starts, and obeys the project's policy");
    Ok(())
}

async fn make_a_key(stage: &mut Stage<'_>) -> Result<(), Failure> {
    stage.screen.title("Make the signing key");
    stage
        .run(&["keyrings", "create", "image-signing", "--location=global"])
        .await?;
    let key = [
        "keys",
        "create",
        "image-signer",
        "--keyring=image-signing",
        "--location=global",
    ];
    let kind = [
        "--purpose=asymmetric-signing",
        "--default-algorithm=rsa-sign-pkcs1-4096-sha512",
    ];
    stage.run(&[&key[..], &kind].concat()).await?;
    stage
        .screen
        .proof("an RSA-4096 key that never leaves the server, and is sealed on its disk");
    Ok(())
}

async fn make_an_attestor(stage: &mut Stage<'_>) -> Result<(), Failure> {
    stage
        .screen
        .title("Say whose signature counts: a note, an attestor on it, the key for the attestor");
    stage
        .run(&[
            "notes",
            "create",
            "image-signing-note",
            "--human-readable-name=Image signing attestor",
        ])
        .await?;
    let note = [
        "--attestation-authority-note=image-signing-note",
        "--attestation-authority-note-project=demo",
    ];
    stage
        .run(&[&["attestors", "create", "image-signing-attestor"], &note[..]].concat())
        .await?;
    let add = [
        "attestors",
        "public-keys",
        "add",
        "--attestor=image-signing-attestor",
    ];
    stage.run(&[&add[..], &KEY].concat()).await?;
    stage
        .screen
        .proof("the attestor holds the public half of the key and nothing else");
    Ok(())
}

async fn set_the_policy(stage: &mut Stage<'_>) -> Result<(), Failure> {
    stage
        .screen
        .title("Set the policy: everything must be attested, the cluster's own images excepted");
    stage.file("binauthz-policy.yaml", &POLICY.replace("YOUR_PROJECT", PROJECT))?;
    stage.run(&["policy", "import", "binauthz-policy.yaml"]).await?;
    let mode = stage
        .run_unseen(&[
            "policy",
            "export",
            "--format=value(defaultAdmissionRule.evaluationMode)",
        ])
        .await?;
    expect("the policy in force", "REQUIRE_ATTESTATION", mode.trim())?;
    stage
        .screen
        .proof(&format!("in force at once: REQUIRE_ATTESTATION by {ATTESTOR}"));
    Ok(())
}

async fn deploy_unsigned(stage: &mut Stage<'_>, image: &Image) -> Result<(), Failure> {
    stage.screen.title("Deploy an image that nobody signed");
    let reply = stage.deploy("test-unsigned", &image.pinned()).await?;
    let sentence = format!(
        "Image {} denied by attestor {ATTESTOR}: No attestations found",
        image.pinned()
    );
    expect_in("the refusal", &sentence, &reply.message)?;
    expect("the reason", "VIOLATES_POLICY", &reply.reason)?;
    refused(&reply)?;
    stage
        .screen
        .proof("refused, with the tutorial's sentence: no signature, no start");
    Ok(())
}

async fn sign(stage: &mut Stage<'_>, image: &Image) -> Result<(), Failure> {
    stage
        .screen
        .title("Sign an image, as the build pipeline does after its checks");
    let artifact = format!("--artifact-url={}", image.pinned());
    let what = [
        "attestations",
        "sign-and-create",
        &artifact,
        "--attestor=image-signing-attestor",
    ];
    stage.run(&[&what[..], &KEY, &["--validate"]].concat()).await?;
    stage
        .screen
        .proof("a statement about this one digest, signed by the key and accepted by the attestor");
    Ok(())
}

async fn deploy_signed(stage: &mut Stage<'_>, image: &Image) -> Result<(), Failure> {
    stage.screen.title("Deploy the signed image");
    let reply = stage.deploy("test-signed", &image.pinned()).await?;
    admitted(&reply)?;
    expect("what is noted about it", "", &reply.annotations.join(","))?;
    stage
        .screen
        .proof("admitted: the signature was found and verified");
    Ok(())
}

async fn deploy_a_tag(stage: &mut Stage<'_>, image: &Image) -> Result<(), Failure> {
    stage.screen.title("Deploy by a tag instead of a digest");
    let reply = stage.deploy("test-latest", &image.tagged()).await?;
    refused(&reply)?;
    expect_in("the refusal", "No attestations found", &reply.message)?;
    expect_in("the hint", "binauthz images describe", &reply.message)?;
    stage
        .screen
        .proof("refused: a tag can be moved after signing, and the answer says how to find the digest");
    Ok(())
}

async fn break_the_glass(stage: &mut Stage<'_>) -> Result<(), Failure> {
    stage
        .screen
        .title("Break the glass: an emergency, and a Deployment that says so");
    let text = EMERGENCY.replace("YOUR_PROJECT", PROJECT);
    let mut deployment = yaml::read(text.as_bytes(), Path::new("emergency-deployment.yaml"))?;
    let annotation = format!("alpha.image-policy.k8s.io/break-glass: \"{INCIDENT}\"");
    stage.screen.answer(&format!("# annotations: {annotation}"));
    stage
        .screen
        .command(&["kubectl", "apply", "-f", "emergency-deployment.yaml"].map(str::to_owned));
    let mutated = stage.ask("mutate", review::DEPLOYMENT, &deployment).await?;
    let patch = mutated
        .patch
        .ok_or_else(|| Failure::refused("the annotation was not copied to the pod template"))?;
    review::apply(&mut deployment, &patch)?;
    let reply = stage.ask("admit", review::DEPLOYMENT, &deployment).await?;
    stage.show("deployment.apps/emergency-fix", &reply);
    broke_glass(&reply)?;
    let pod = review::pod_of(&deployment, "emergency-fix-5d4f");
    let reply = stage.ask("admit", review::POD, &pod).await?;
    broke_glass(&reply)?;
    stage
        .screen
        .proof("admitted, and so are its Pods: the annotation was copied to the pod template");
    Ok(())
}

async fn run_dry(stage: &mut Stage<'_>, image: &Image) -> Result<(), Failure> {
    stage
        .screen
        .title("Dry run: see what would be blocked, and block nothing");
    let enforced = POLICY.replace("YOUR_PROJECT", PROJECT);
    let dry = enforced.replace("ENFORCED_BLOCK_AND_AUDIT_LOG", "DRYRUN_AUDIT_LOG_ONLY");
    stage.file("dry-run-policy.yaml", &dry)?;
    stage.run(&["policy", "import", "dry-run-policy.yaml"]).await?;
    let reply = stage.deploy("test-dry-run", &image.pinned()).await?;
    admitted(&reply)?;
    expect_in(
        "the note for the audit log",
        "dry-run",
        &reply.annotations.join(","),
    )?;
    expect_in("the warning", "No attestations found", &reply.warnings.join(" "))?;
    stage.run(&["policy", "import", "binauthz-policy.yaml"]).await?;
    let reply = stage.deploy("test-again", &image.pinned()).await?;
    refused(&reply)?;
    stage
        .screen
        .proof("let through with a warning and recorded; enforced again, the same image is refused");
    Ok(())
}

async fn list_attestations(stage: &mut Stage<'_>, image: &Image) -> Result<(), Failure> {
    stage.screen.title("Audit what was signed");
    let list = ["attestations", "list", "--attestor=image-signing-attestor"];
    let listed = stage
        .run(&[&list[..], &["--format=table(createTime, resourceUri)"]].concat())
        .await?;
    stage.screen.answer(&listed);
    expect_in("the list", &image.pinned(), &listed)?;
    expect(
        "the number of attestations",
        "1",
        &(listed.lines().count().saturating_sub(1)).to_string(),
    )?;
    stage
        .screen
        .proof("one attestation, of the one image that was signed");
    Ok(())
}

async fn read_the_log(stage: &mut Stage<'_>) -> Result<(), Failure> {
    stage.screen.title("Read the verdicts back from the server");
    let seen = |name, verdict, effect, reason| Expected {
        name,
        verdict,
        effect,
        reason,
        justification: "",
    };
    let emergency = |name| Expected {
        justification: INCIDENT,
        ..seen(name, "ALLOW", "BREAK_GLASS", "NOT_PINNED")
    };
    let expected = [
        seen("test-unsigned", "DENY", "ENFORCED", "NO_ATTESTATIONS"),
        seen("test-signed", "ALLOW", "ENFORCED", "ATTESTED"),
        seen("test-latest", "DENY", "ENFORCED", "NOT_PINNED"),
        emergency("emergency-fix"),
        emergency("emergency-fix-5d4f"),
        seen("test-dry-run", "ALLOW", "DRY_RUN", "NO_ATTESTATIONS"),
        seen("test-again", "DENY", "ENFORCED", "NO_ATTESTATIONS"),
    ];
    let log = stage.run(&["logs", "list", "--format=json"]).await?;
    let rows = ledger::read(&log)?;
    stage.screen.answer(&ledger::table(&rows));
    ledger::check(&rows, &expected)?;
    stage.screen.proof(&format!(
        "all {} verdicts are on record, each with its reason",
        rows.len()
    ));
    let changes = stage
        .run_unseen(&["logs", "audit", "--limit=1000", "--format=value(method)"])
        .await?;
    for method in ["CreateAttestor", "AsymmetricSign", "UpdatePolicy"] {
        expect_in("the log of changes", method, &changes)?;
    }
    let count = changes.lines().count();
    stage.screen.proof(&format!(
        "so are the {count} changes that led there, the use of the key among them"
    ));
    Ok(())
}

fn admitted(reply: &Reply) -> Result<(), Failure> {
    match reply.allowed {
        true => Ok(()),
        false => Err(Failure::refused(format_args!(
            "expected to be admitted, but: {}",
            reply.message
        ))),
    }
}

fn refused(reply: &Reply) -> Result<(), Failure> {
    match reply.allowed {
        false => Ok(()),
        true => Err(Failure::refused("expected to be refused, but was admitted")),
    }
}

fn broke_glass(reply: &Reply) -> Result<(), Failure> {
    admitted(reply)?;
    expect_in(
        "the note for the audit log",
        "break-glass",
        &reply.annotations.join(","),
    )
}

fn expect(what: &str, expected: &str, found: &str) -> Result<(), Failure> {
    if expected == found {
        return Ok(());
    }
    Err(Failure::refused(format_args!(
        "{what}: expected `{expected}`, got `{found}`"
    )))
}

fn expect_in(what: &str, expected: &str, found: &str) -> Result<(), Failure> {
    if found.contains(expected) {
        return Ok(());
    }
    Err(Failure::refused(format_args!(
        "{what}: expected something with `{expected}`, got `{found}`"
    )))
}
