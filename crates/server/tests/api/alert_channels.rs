//! The ways a notice leaves the server, to real receivers.

use std::time::{Duration, Instant};

use binauthz_core::time::UnixTime;
use binauthz_server::alert::channel::{
    Channel, LONGEST_WAIT, Message, PagerDuty, Place, Poster, Reach, SendError, Slack, Webhook, signature,
};
use binauthz_server::alert::series::Key;
use binauthz_server::alert::{Incident, Notice};
use serde_json::json;

use crate::receiver::{Does, Receiver, Request};
use crate::support::{Desk, install_crypto_provider};

const SECRET: &str = "hush";

fn notice(ended: Option<i64>) -> Notice {
    Notice {
        incident: Incident {
            id: "i7".into(),
            policy: "projects/p/alertPolicies/1".into(),
            condition: "projects/p/alertPolicies/1/conditions/1".into(),
            started: UnixTime::from_seconds(7),
            renewed: UnixTime::from_seconds(7),
            notified: UnixTime::from_seconds(7),
            ended: ended.map(UnixTime::from_seconds),
            metric_type: "m".into(),
            about: Key::default(),
            summary: "<!channel> holds".into(),
        },
        project: "p".into(),
        policy_name: "Blocked".into(),
        condition_name: "C".into(),
        documentation: String::new(),
        user_labels: Vec::new(),
        channels: Vec::new(),
        is_wanted: true,
    }
}

async fn send(channel: &dyn Channel, notice: &Notice) -> Result<(), SendError> {
    let message = Message {
        delivery: "d1",
        now: UnixTime::from_seconds(9),
        notice,
    };
    channel.send(&message).await
}

/// What every channel passes; `welcome` is what its receiver answers when all is well.
async fn acceptance(welcome: &'static str, make: fn(Poster, String) -> Box<dyn Channel>) {
    install_crypto_provider();
    let outcome = async |does: Does| {
        let receiver = Receiver::new(does).await;
        let channel = make(
            Poster::new(Reach::default().with_this_machine()).unwrap(),
            receiver.url.clone(),
        );
        let outcome = send(channel.as_ref(), &notice(None)).await;
        if let Err(error) = &outcome {
            let said = error.to_string();
            assert!(!said.contains("127.0.0.1") && !said.contains(SECRET), "{said}");
        }
        (outcome, receiver.requests().len())
    };
    assert_eq!(outcome(Does::Answer(200, welcome)).await, (Ok(()), 1));
    assert_eq!(outcome(Does::Answer(202, welcome)).await, (Ok(()), 1));
    for status in [408, 429, 500, 503] {
        let (outcome, requests) = outcome(Does::Answer(status, welcome)).await;
        assert!(
            matches!(outcome, Err(SendError::Later(_))),
            "{status}: {outcome:?}"
        );
        assert_eq!(requests, 1);
    }
    for status in [400, 401, 404, 410] {
        let (outcome, _) = outcome(Does::Answer(status, welcome)).await;
        assert!(
            matches!(outcome, Err(SendError::Never(_))),
            "{status}: {outcome:?}"
        );
    }
    // One request: it was not followed, not even to the same place.
    let (redirected, requests) = outcome(Does::Redirect).await;
    assert!(matches!(redirected, Err(SendError::Never(_))), "{redirected:?}");
    assert_eq!(requests, 1);
    let started = Instant::now();
    let (hung, _) = outcome(Does::Hang).await;
    assert!(matches!(hung, Err(SendError::Later(_))), "{hung:?}");
    assert!(started.elapsed() < LONGEST_WAIT + Duration::from_secs(3));
    let started = Instant::now();
    let (flooded, _) = outcome(Does::Flood(500)).await;
    assert!(matches!(flooded, Err(SendError::Later(_))), "{flooded:?}");
    // What a flood that began well means is the channel's to say; that it ends is not.
    let _ = outcome(Does::Flood(200)).await;
    assert!(started.elapsed() < Duration::from_secs(5));
    let nobody = make(
        Poster::new(Reach::default().with_this_machine()).unwrap(),
        "http://127.0.0.1:1/hook".into(),
    );
    assert!(matches!(
        send(nobody.as_ref(), &notice(None)).await,
        Err(SendError::Later(_))
    ));
    let nowhere = make(
        Poster::new(Reach::default().with_this_machine()).unwrap(),
        "http://".into(),
    );
    assert!(matches!(
        send(nowhere.as_ref(), &notice(None)).await,
        Err(SendError::Never(_))
    ));
}

/// Whoever makes a channel reaches nothing by it that the operator did not name.
#[tokio::test]
async fn a_channel_leads_to_no_private_network() {
    install_crypto_provider();
    let receiver = Receiver::new(Does::Answer(200, "ok")).await;
    let port = receiver.url.split(':').nth(2).unwrap().to_owned();
    let outcome = async |reach: Reach, host: &str| {
        let channel = signed(Poster::new(reach).unwrap(), format!("http://{host}:{port}"));
        send(channel.as_ref(), &notice(None)).await
    };
    let refused = Err(SendError::Never(
        "its address is none of the public internet, and `channelsMayReach` does not name it".to_owned(),
    ));
    for host in [
        "127.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0.0.0.0",
    ] {
        assert_eq!(outcome(Reach::default(), host).await, refused, "{host}");
    }
    assert!(receiver.requests().is_empty(), "nothing was connected to");
    let named = |place: &str| Reach::new(vec![place.parse::<Place>().unwrap()]);
    for (place, host) in [
        ("127.0.0.0/8", "127.0.0.1"),
        ("127.0.0.0/8", "localhost"),
        ("localhost", "localhost"),
    ] {
        assert_eq!(outcome(named(place), host).await, Ok(()), "{place}");
    }
    assert_eq!(receiver.requests().len(), 3);
    // A host that is named is meant by its name.
    assert_eq!(outcome(named("localhost"), "127.0.0.1").await, refused);
    assert_eq!(outcome(named("127.0.0.2"), "127.0.0.1").await, refused);
    assert_eq!(receiver.requests().len(), 3);
}

fn signed(poster: Poster, url: String) -> Box<dyn Channel> {
    Box::new(Webhook::signed(poster, url, SECRET.into()))
}

fn with_password(poster: Poster, url: String) -> Box<dyn Channel> {
    Box::new(Webhook::with_password(poster, url, ("u".into(), SECRET.into())))
}

fn slack(poster: Poster, url: String) -> Box<dyn Channel> {
    Box::new(Slack::new(poster, "#alerts".into(), SECRET.into()).at(url))
}

fn pagerduty(poster: Poster, url: String) -> Box<dyn Channel> {
    Box::new(PagerDuty::new(poster, SECRET.into()).at(url))
}

#[tokio::test]
async fn a_signed_webhook_passes() {
    acceptance("", signed).await;
}

#[tokio::test]
async fn a_webhook_with_a_password_passes() {
    acceptance("", with_password).await;
}

#[tokio::test]
async fn slack_passes() {
    acceptance("{\"ok\": true}", slack).await;
}

#[tokio::test]
async fn pagerduty_passes() {
    acceptance("{}", pagerduty).await;
}

/// What a receiver that answers this gets from a channel.
async fn received(make: fn(Poster, String) -> Box<dyn Channel>, notice: &Notice) -> Request {
    install_crypto_provider();
    let receiver = Receiver::new(Does::Answer(200, "{\"ok\": true}")).await;
    let channel = make(
        Poster::new(Reach::default().with_this_machine()).unwrap(),
        receiver.url.clone(),
    );
    send(channel.as_ref(), notice).await.unwrap();
    receiver.requests().remove(0)
}

#[tokio::test]
async fn a_receiver_can_tell_who_sent_it() {
    let request = received(signed, &notice(None)).await;
    assert_eq!(request.header("x-binauthz-delivery"), Some("d1"));
    assert_eq!(request.header("x-binauthz-timestamp"), Some("9"));
    let expected = signature(SECRET, UnixTime::from_seconds(9), &request.text);
    assert_eq!(request.header("x-binauthz-signature"), Some(expected.as_str()));
    assert_eq!(request.header("authorization"), None);
    assert_eq!(request.body["version"], "1.2");
    assert_eq!(request.body["incident"]["state"], "open");
    let request = received(with_password, &notice(Some(8))).await;
    assert_eq!(request.header("authorization"), Some("Basic dTpodXNo"));
    assert_eq!(request.header("x-binauthz-signature"), None);
    assert_eq!(request.body["incident"]["state"], "closed");
}

#[tokio::test]
async fn slack_and_pagerduty_get_their_own_forms() {
    let request = received(slack, &notice(None)).await;
    assert_eq!(request.header("authorization"), Some("Bearer hush"));
    // Nobody is called by what a log says.
    assert_eq!(request.body["text"], "[open] Blocked: &lt;!channel&gt; holds");
    assert_eq!(request.body["channel"], "#alerts");
    for (ended, action) in [(None, "trigger"), (Some(8), "resolve")] {
        let request = received(pagerduty, &notice(ended)).await;
        assert_eq!(request.body["event_action"], action);
        assert_eq!(request.body["dedup_key"], "i7");
        assert_eq!(request.body["routing_key"], SECRET);
        assert_eq!(request.body["payload"]["source"], "projects/p");
    }
}

#[tokio::test]
async fn what_slack_refuses_with_a_200_is_not_delivered() {
    install_crypto_provider();
    for (said, later) in [("ratelimited", true), ("invalid_auth", false), ("x", false)] {
        let text: &'static str = json!({ "ok": false, "error": said }).to_string().leak();
        let receiver = Receiver::new(Does::Answer(200, text)).await;
        let channel = slack(
            Poster::new(Reach::default().with_this_machine()).unwrap(),
            receiver.url.clone(),
        );
        let error = send(channel.as_ref(), &notice(None)).await.unwrap_err();
        assert_eq!(matches!(error, SendError::Later(_)), later, "{said}: {error}");
    }
}

#[tokio::test]
async fn a_test_notice_reaches_the_receiver_of_a_channel() {
    let desk = Desk::new().await;
    let made = async |receiver: &Receiver| {
        let labels = json!({ "url": receiver.url, "secret": SECRET });
        let body = json!({ "type": "webhook_tokenauth", "labels": labels });
        let made = desk.post("/v3/projects/p/notificationChannels", body).await.ok();
        format!("/v3/{}:sendVerificationCode", made["name"].as_str().unwrap())
    };
    let receiver = Receiver::new(Does::Answer(200, "")).await;
    let path = made(&receiver).await;
    assert_eq!(desk.post(&path, json!({})).await.ok(), json!({}));
    let request = receiver.requests().remove(0);
    let now: i64 = request.header("x-binauthz-timestamp").unwrap().parse().unwrap();
    let expected = signature(SECRET, UnixTime::from_seconds(now), &request.text);
    assert_eq!(request.header("x-binauthz-signature"), Some(expected.as_str()));
    let summary = request.body["incident"]["summary"].as_str().unwrap();
    assert!(
        summary.starts_with("this is a test of `projects/p/notificationChannels/"),
        "{summary}"
    );
    assert_eq!(
        desk.audit(1).await[0]["method"],
        "monitoring.SendNotificationChannelVerificationCode"
    );

    desk.post(&path, json!({ "frob": 1 }))
        .await
        .refused("INVALID_ARGUMENT", "`frob`");
    let receiver = Receiver::new(Does::Answer(404, "")).await;
    let path = made(&receiver).await;
    desk.post(&path, json!({}))
        .await
        .refused("FAILED_PRECONDITION", "the answer was 404");
}
