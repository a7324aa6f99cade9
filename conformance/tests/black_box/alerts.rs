//! Alerts that reach somebody: by the tutorial's commands, and through kill -9.

use std::collections::BTreeSet;
use std::time::Duration;

use binauthz_conformance::desk::IMAGES;
use binauthz_conformance::receiver::Receiver;
use binauthz_conformance::server::poll_until;
use binauthz_conformance::{Desk, review};
use serde_json::json;

use crate::signatures::prepared;

const PATIENCE: Duration = Duration::from_secs(30);

fn image() -> String {
    format!("{IMAGES}/myservice@sha256:{}", "a".repeat(64))
}

/// Nothing but time passes.
fn pass(time: Duration) {
    let _: Option<()> = poll_until(time, || None);
}

#[test]
fn blocked_deployments_by_the_tutorials_commands() {
    let Some(desk) = prepared(&["gcloud"]) else { return };
    let receiver = Receiver::start();
    let channel = desk.ok(&format!(
        "gcloud alpha monitoring channels create --display-name=Oncall --type=webhook_tokenauth \
         --channel-labels=url={} --format='value(name)'",
        receiver.url
    ));
    desk.ok(
        "gcloud logging metrics create binauthz-blocked-deployments \
         --description='Count of deployments blocked by Binary Authorization' \
         --log-filter='resource.type=\"k8s_cluster\" protoPayload.response.status.message:\"denied by attestor\"'",
    );
    desk.ok(&format!(
        "gcloud alpha monitoring policies create --display-name='Binary Auth Blocked Deployment' \
         --condition-display-name='Unsigned image deployment attempted' \
         --condition-filter='metric.type=\"logging.googleapis.com/user/binauthz-blocked-deployments\"' \
         --if='> 0' --duration=0s --notification-channels={}",
        channel.text()
    ));
    desk.admit(&review::pod("web", &image())).denied(&[]);
    let told = receiver.of_project("demo", 1, PATIENCE);
    let told = told.expect("the receiver is told").remove(0).body["incident"].clone();
    assert_eq!(told["policy_name"], "Binary Auth Blocked Deployment", "{told:#}");
    assert_eq!(told["condition_name"], "Unsigned image deployment attempted");
    assert_eq!(told["state"], "open");

    // The ones that every project has from the start are there too, and can be turned off for good.
    let policies = "gcloud alpha monitoring policies";
    let shipped = desk.ok(&format!(
        "{policies} list --filter='displayName=\"Binary Authorization: blocked deployment\"' --format='value(name)'"
    ));
    assert!(shipped.text().ends_with("/binauthz-blocked-deployments"));
    desk.ok(&format!("{policies} update {} --no-enabled", shipped.text()));
    desk.ok(&format!("{policies} describe {}", shipped.text()))
        .says(&["enabled: false"]);
    desk.ok(&format!("{policies} delete {}", shipped.text()));
    desk.ok(&format!("{policies} list --format='value(name)'"))
        .says(&["binauthz-break-glass"])
        .never_says("binauthz-blocked-deployments");
}

#[test]
fn incidents_and_dead_letters_on_the_command_line() {
    let Some(desk) = prepared(&[]) else { return };
    let at = "--data-dir \"$DATA\" --project demo";
    desk.ok(&format!(
        "binauthz channels create {at} --type=webhook_tokenauth --label=url=http://127.0.0.1:1/hook"
    ));
    let name = desk.ok(&format!("binauthz channels list {at} --format='value(name)'"));
    desk.api(
        "PATCH",
        "/v3/projects/demo/alertPolicies/binauthz-blocked-deployments?updateMask=notificationChannels",
        Some(&json!({ "notificationChannels": [name.text()] })),
    )
    .ok();
    desk.admit(&review::pod("web", &image())).denied(&[]);
    let id = poll_until(PATIENCE, || {
        let list = format!("binauthz incidents list {at} --state=open --format='value(name.basename())'");
        Some(desk.ok(&list).text().to_owned()).filter(|text| !text.is_empty())
    });
    let id = id.expect("an incident begins");
    desk.ok(&format!("binauthz incidents list {at}"))
        .says(&["OPEN", "Binary Authorization: blocked deployment"]);
    desk.ok(&format!("binauthz incidents describe {id} {at}"))
        .says(&["jane@example.com"]);
    desk.sh(&format!("binauthz incidents describe 7 {at}"))
        .refused(&["was not found"]);
    // Its channel goes while the notice waits.
    desk.api("DELETE", &format!("/v3/{}?force=true", name.text()), None)
        .ok();
    let list = format!("binauthz channels dead-letters list {at}");
    let letter = poll_until(PATIENCE, || {
        let ran = desk.ok(&format!("{list} --format='value(name.basename())'"));
        Some(ran.text().to_owned()).filter(|text| !text.is_empty())
    });
    let letter = letter.expect("it is given up");
    desk.ok(&list).says(&["the channel was deleted"]);
    desk.ok(&format!("binauthz channels dead-letters retry {letter} {at}"))
        .says(&["again"]);
    poll_until(PATIENCE, || {
        desk.ok(&list).text().contains("deleted").then_some(())
    })
    .expect("it is given up once more");
    desk.ok(&format!("binauthz channels dead-letters delete {letter} {at}"))
        .says(&["Deleted"]);
    desk.sh(&format!("binauthz channels dead-letters delete {letter} {at}"))
        .refused(&["was not found"]);
    let receiver = Receiver::start();
    desk.ok(&format!(
        "binauthz channels create {at} --type=webhook_tokenauth --label=url={}",
        receiver.url
    ));
    let id = desk.ok(&format!(
        "binauthz channels list {at} --format='value(name.basename())'"
    ));
    desk.ok(&format!("binauthz channels verify {} {at}", id.text()))
        .says(&["took the test notice"]);
    assert_eq!(receiver.notices().len(), 1);
}

/// A cluster in a project of its own, whose break-glass policy tells the receiver.
fn project(desk: &Desk, receiver: &Receiver, number: usize) -> String {
    let project = format!("p{number}");
    let mode = json!({ "evaluationMode": "PROJECT_SINGLETON_POLICY_ENFORCE" });
    desk.api(
        "POST",
        &format!("/v1/projects/{project}/locations/l/clusters"),
        Some(&json!({ "cluster": { "name": "c", "binaryAuthorization": mode } })),
    )
    .ok();
    let channel = desk.api(
        "POST",
        &format!("/v3/projects/{project}/notificationChannels"),
        Some(&json!({ "type": "webhook_tokenauth", "labels": { "url": receiver.url } })),
    );
    let channel = channel.ok()["name"].clone();
    desk.api(
        "PATCH",
        &format!("/v3/projects/{project}/alertPolicies/binauthz-break-glass?updateMask=notificationChannels"),
        Some(&json!({ "notificationChannels": [channel] })),
    )
    .ok();
    project
}

fn break_glass(desk: &Desk, project: &str) {
    let mut pod = review::pod("hotfix", &image());
    pod["metadata"]["annotations"] = json!({ "alpha.image-policy.k8s.io/break-glass": "INC-1234" });
    let cluster = format!("projects/{project}/locations/l/clusters/c");
    desk.review("admit", &cluster, &review::create(&pod)).admitted();
}

/// The process dies at any moment between the answer to an admission and the end of its delivery.
#[test]
fn no_alert_is_lost_by_kill_9_and_at_most_one_comes_twice() {
    let Some(mut desk) = Desk::with(&[]) else { return };
    let receiver = Receiver::start();
    let delays = [0, 10, 25, 40, 60, 80, 100, 120, 150, 250];
    let projects: Vec<String> = (0..delays.len())
        .map(|number| project(&desk, &receiver, number))
        .collect();
    let mut twice = 0;
    for (project, delay) in projects.iter().zip(delays) {
        break_glass(&desk, project);
        pass(Duration::from_millis(delay));
        desk = desk.restarted_after_kill();
        let told = receiver.of_project(project, 1, PATIENCE);
        assert!(told.is_some(), "lost when killed after {delay} ms");
    }
    // What was under way has come by now.
    pass(Duration::from_secs(3));
    for project in &projects {
        let told = receiver.of_project(project, 1, PATIENCE).unwrap_or_default();
        let deliveries: BTreeSet<&str> = told.iter().map(|notice| notice.delivery.as_str()).collect();
        let incidents: BTreeSet<String> = told
            .iter()
            .map(|notice| notice.body["incident"]["incident_id"].to_string())
            .collect();
        assert!(told.len() <= 2, "{project}: {told:#?}");
        assert_eq!(
            (deliveries.len(), incidents.len()),
            (1, 1),
            "{project}: {told:#?}"
        );
        twice += told.len() - 1;
    }
    assert!(twice <= delays.len(), "{twice} of {} came twice", delays.len());
}

/// The worst moment: the receiver has it, and has not said so.
#[test]
fn what_was_sent_when_the_process_died_comes_once_more_under_the_same_id() {
    let Some(desk) = Desk::with(&[]) else { return };
    let receiver = Receiver::start();
    let project = project(&desk, &receiver, 0);
    receiver.mute(true);
    break_glass(&desk, &project);
    let first = receiver.of_project(&project, 1, PATIENCE).expect("it is sent");
    let desk = desk.restarted_after_kill();
    receiver.mute(false);
    let told = receiver
        .of_project(&project, 2, PATIENCE)
        .expect("it is sent again");
    assert_eq!(told[1].delivery, first[0].delivery);
    assert_eq!(told[1].body["incident"], first[0].body["incident"]);
    pass(Duration::from_secs(2));
    assert_eq!(receiver.notices().len(), 2);
    let letters = desk.api(
        "GET",
        &format!("/binauthz/v1/projects/{project}/deadLetters"),
        None,
    );
    assert_eq!(letters.ok(), json!({}));
}
