//! Who may do what, as `gcloud` and `binauthz` see it.

use binauthz_conformance::Desk;

const JANE: &str = "user:jane@example.com";

/// `gcloud container binauthz` by Jane's token file, which counts for less than a token in the environment.
fn as_jane(what: &str) -> String {
    format!(
        "env --unset=CLOUDSDK_AUTH_ACCESS_TOKEN gcloud container binauthz {what} --access-token-file=jane.token"
    )
}

/// A desk with a token that stands for Jane.
fn with_jane() -> Option<Desk> {
    let mut desk = Desk::with(&["gcloud"])?;
    let data = desk.server.data.display().to_string();
    desk.shell.set("BINAUTHZ_DATA_DIR", data);
    desk.shell.set("BINAUTHZ_PROJECT", "demo");
    desk.ok(&format!(
        "binauthz tokens create jane --role=member --principal={JANE} --ttl=1h >jane.token"
    ));
    Some(desk)
}

#[test]
fn gcloud_does_what_was_granted_and_says_what_was_not() {
    let Some(desk) = with_jane() else {
        return;
    };
    let export = as_jane("policy export --format=json");
    let import = as_jane("policy import policy.json");
    desk.sh(&export).refused(&[
        "PERMISSION_DENIED",
        "`user:jane@example.com` lacks the permission `binaryauthorization.policy.get` on `projects/demo/policy`",
    ]);
    desk.ok(&format!(
        "gcloud projects add-iam-policy-binding demo --member={JANE} \
           --role=roles/binaryauthorization.policyViewer --condition=None"
    ));
    desk.ok(&format!("{export} >policy.json"));
    desk.sh(&import).refused(&["binaryauthorization.policy.update"]);
    // A role of the project's own, made by gcloud, under a condition that has ended and one that has not.
    desk.ok(
        "gcloud iam roles create releaser --project=demo --title=Releaser --quiet \
           --permissions=binaryauthorization.policy.get,binaryauthorization.policy.update",
    );
    for (year, is_allowed) in [("2001", false), ("2100", true)] {
        let condition = format!("request.time < timestamp(\"{year}-01-01T00:00:00Z\")");
        desk.ok(&format!(
            "gcloud projects add-iam-policy-binding demo --member={JANE} --role=projects/demo/roles/releaser \
               --condition='expression={condition},title=until {year}'"
        ));
        let imported = desk.sh(&import);
        match is_allowed {
            true => imported.ok(),
            false => imported.refused(&["binaryauthorization.policy.update"]),
        };
    }
}

#[test]
fn who_can_and_who_does_too_much_is_said() {
    let Some(desk) = with_jane() else {
        return;
    };
    desk.ok(&format!(
        "binauthz notes create signed
         gcloud projects add-iam-policy-binding demo --member={JANE} \
           --role=roles/binaryauthorization.policyEditor --condition=None"
    ));
    desk.ok("binauthz iam who-can binaryauthorization.policy.update projects/demo/policy")
        .says(&[JANE, "roles/binaryauthorization.policyEditor", "projects/demo"]);
    desk.ok("binauthz iam who-can cloudkms.cryptoKeyVersions.useToSign")
        .never_says(JANE);
    desk.ok("binauthz sod check")
        .says(&["Nobody both signs and edits"]);
    desk.ok(&format!(
        "gcloud projects add-iam-policy-binding demo --member={JANE} \
           --role=roles/cloudkms.signer --condition=None"
    ));
    desk.sh("binauthz sod check")
        .exits(1)
        .says(&[JANE, "roles/cloudkms.signer on projects/demo"]);
    desk.ok(&format!("binauthz sod check --accept={JANE}"));
}
