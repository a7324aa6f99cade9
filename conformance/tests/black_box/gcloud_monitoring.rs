//! `gcloud alpha monitoring`: alert policies, their conditions, and notification channels.

use binauthz_conformance::Desk;

const POLICIES: &str = "gcloud alpha monitoring policies";
const CHANNELS: &str = "gcloud alpha monitoring channels";
const FILTER: &str = r#"metric.type="logging.googleapis.com/user/binauthz-blocked-deployments""#;

fn with_gcloud() -> Option<Desk> {
    Desk::with_configuration(
        &["gcloud"],
        "smtp: {host: mail.example.com, from: binauthz@example.com}\n",
    )
}

/// A channel by e-mail; its name.
fn channel(desk: &Desk) -> String {
    let made = desk.ok(&format!(
        "{CHANNELS} create --display-name=Oncall --type=email --channel-labels=email_address=a@example.com \
         --format='value(name)'"
    ));
    made.text().to_owned()
}

/// The tutorial's policy, with the flags that its command line has; its name.
fn policy(desk: &Desk, more: &str) -> String {
    let made = desk.ok(&format!(
        "{POLICIES} create --display-name='Binary Auth Blocked Deployment' \
         --condition-display-name='Unsigned image deployment attempted' --condition-filter='{FILTER}' \
         --if='> 0' --duration=0s {more} --format='value(name)'"
    ));
    made.text().to_owned()
}

#[test]
fn the_policy_of_the_tutorial() {
    let Some(desk) = with_gcloud() else { return };
    let channel = channel(&desk);
    let name = policy(&desk, &format!("--notification-channels={channel}"));
    desk.ok(&format!("{POLICIES} describe {name}")).says(&[
        "Unsigned image deployment attempted",
        "COMPARISON_GT",
        "combiner: OR",
        &channel,
    ]);
    desk.ok(&format!(
        "{POLICIES} update {name} --no-enabled --display-name=Renamed"
    ));
    desk.ok(&format!(
        "{POLICIES} update {name} --update-user-labels=a=b --documentation='What to do'"
    ));
    desk.ok(&format!("{POLICIES} describe {name}")).says(&[
        "enabled: false",
        "displayName: Renamed",
        "a: b",
        "content: What to do",
        "COMPARISON_GT",
    ]);
    let listed = desk.ok(&format!(
        "{POLICIES} list --filter='displayName=\"Renamed\"' --sort-by=display_name --format='value(name)'"
    ));
    assert_eq!(listed.text(), name);
    assert_eq!(
        desk.ok(&format!(
            "{POLICIES} list --filter='displayName=\"x\"' --format='value(name)'"
        ))
        .text(),
        ""
    );
    desk.ok(&format!("{POLICIES} delete {name}"));
    desk.sh(&format!("{POLICIES} describe {name}"))
        .refused(&["NOT_FOUND"]);
}

#[test]
fn a_policy_with_a_channel_that_is_not_there_is_refused() {
    let Some(desk) = with_gcloud() else { return };
    desk.sh(&format!(
        "{POLICIES} create --display-name=x --condition-filter='{FILTER}' --if='> 0' --duration=0s \
         --notification-channels=YOUR_NOTIFICATION_CHANNEL"
    ))
    .refused(&["INVALID_ARGUMENT", "create it first"]);
    desk.sh(&format!(
        "{POLICIES} create --display-name=x --condition-filter='resource.type=\"k8s_cluster\"' --if='> 0' --duration=0s"
    ))
    .refused(&["metric.type"]);
}

#[test]
fn policies_from_files() {
    let Some(desk) = with_gcloud() else { return };
    let text = r#"{"displayName": "logs", "combiner": "OR", "conditions": [{"displayName": "c", "conditionMatchedLog":
        {"filter": "severity>=ERROR", "labelExtractors": {"pod": "EXTRACT(resource.labels.pod_name)"}}}],
        "alertStrategy": {"autoClose": "1800s", "notificationRateLimit": {"period": "300s"}}}"#;
    desk.write("policy.json", text);
    let made = desk.ok(&format!(
        "{POLICIES} create --policy-from-file=policy.json --format='value(name)'"
    ));
    let name = made.text().to_owned();
    desk.ok(&format!("{POLICIES} describe {name}")).says(&[
        "severity>=ERROR",
        "autoClose: 1800s",
        "period: 300s",
        "EXTRACT(resource.labels.pod_name)",
    ]);
    desk.write("policy.json", &text.replace("300s", "600s"));
    desk.ok(&format!(
        "{POLICIES} update {name} --policy-from-file=policy.json"
    ));
    desk.ok(&format!("{POLICIES} describe {name}"))
        .says(&["period: 600s"]);
    desk.write("policy.json", &text.replace("severity>=ERROR", "severity>="));
    desk.sh(&format!(
        "{POLICIES} update {name} --policy-from-file=policy.json"
    ))
    .refused(&["INVALID_ARGUMENT", "filter"]);
}

#[test]
fn conditions_are_added_changed_and_taken_out() {
    let Some(desk) = with_gcloud() else { return };
    let name = policy(&desk, "");
    desk.ok(&format!(
        "{POLICIES} conditions create {name} --condition-display-name=Silence --condition-filter='{FILTER}' \
         --if=absent --duration=300s"
    ));
    desk.ok(&format!(
        "{POLICIES} conditions describe {name}/conditions/2 --format=yaml"
    ))
    .says(&["Silence", "conditionAbsent", "duration: 300s"]);
    desk.ok(&format!(
        "{POLICIES} conditions update {name}/conditions/1 --if='> 5' --trigger-count=2"
    ));
    desk.ok(&format!(
        "{POLICIES} conditions describe {name}/conditions/1 --format=yaml"
    ))
    .says(&["thresholdValue: 5.0", "count: 2"]);
    desk.ok(&format!("{POLICIES} conditions delete {name}/conditions/1"));
    desk.ok(&format!(
        "{POLICIES} conditions describe {name}/conditions/2 --format=yaml"
    ))
    .says(&["Silence"]);
    desk.sh(&format!(
        "{POLICIES} conditions describe {name}/conditions/1 --format=yaml"
    ))
    .refused(&["conditions/1"]);
    desk.sh(&format!("{POLICIES} conditions delete {name}/conditions/2"))
        .refused(&["INVALID_ARGUMENT", "at least one condition"]);
}

#[test]
fn channels_are_made_listed_changed_and_deleted() {
    let Some(desk) = with_gcloud() else { return };
    let email = channel(&desk);
    let made = desk.ok(&format!(
        "{CHANNELS} create --display-name=Hook --type=webhook_basicauth --description=d --user-labels=team=red \
         --channel-labels=url=https://hooks.test/a,username=u,password=hush --format=json"
    ));
    made.says(&["****"]).never_says("hush");
    let listed = desk.ok(&format!("{CHANNELS} list --type=email --format='value(name)'"));
    assert_eq!(listed.text(), email);
    let hook = desk.ok(&format!(
        "{CHANNELS} list --filter='displayName=\"Hook\"' --sort-by=~display_name --format='value(name)'"
    ));
    let hook = hook.text().to_owned();
    desk.ok(&format!(
        "{CHANNELS} update {hook} --display-name=Other --no-enabled --update-channel-labels=username=v"
    ));
    desk.ok(&format!("{CHANNELS} describe {hook}"))
        .says(&[
            "displayName: Other",
            "enabled: false",
            "username: v",
            "url: https://hooks.test/a",
            "team: red",
        ])
        .never_says("hush");
    policy(&desk, &format!("--notification-channels={email}"));
    desk.sh(&format!("{CHANNELS} delete {email}"))
        .refused(&["FAILED_PRECONDITION", "is told by"]);
    desk.ok(&format!("{CHANNELS} delete {email} --force"));
    desk.ok(&format!("{CHANNELS} delete {hook}"));
    assert_eq!(
        desk.ok(&format!("{CHANNELS} list --format='value(name)'")).text(),
        ""
    );
    desk.ok(&format!("{POLICIES} list --format='value(notificationChannels)'"))
        .never_says("notificationChannels/");
    desk.sh(&format!("{CHANNELS} create --type=email --display-name=x"))
        .refused(&["INVALID_ARGUMENT", "email_address"]);
}

#[test]
fn kinds_of_channels_and_snoozes() {
    let Some(desk) = with_gcloud() else { return };
    let kinds = "gcloud beta monitoring channel-descriptors";
    desk.ok(&format!("{kinds} list"))
        .says(&["email", "slack", "pagerduty", "webhook_tokenauth"]);
    desk.ok(&format!("{kinds} describe email"))
        .says(&["email_address", "displayName: Email"]);
    desk.sh(&format!("{kinds} describe pigeon"))
        .refused(&["NOT_FOUND"]);
    assert_eq!(
        desk.ok("gcloud monitoring snoozes list --format='value(name)'")
            .text(),
        ""
    );
}
