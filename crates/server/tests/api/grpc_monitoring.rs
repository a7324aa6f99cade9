//! Cloud Monitoring over gRPC: every method once, by clients generated from Google's definitions.

use std::time::Duration;

use googleapis_tonic_google_monitoring_v3::google::monitoring::v3 as monitoring;
use prost_types::{FieldMask, Timestamp};
use serde_json::json;

use crate::support::Desk;
use crate::wire::Channel;

use monitoring::alert_policy_service_client::AlertPolicyServiceClient as Policies;
use monitoring::metric_service_client::MetricServiceClient as Metrics;
use monitoring::notification_channel_service_client::NotificationChannelServiceClient as Channels;
use monitoring::snooze_service_client::SnoozeServiceClient as Snoozes;

const PROJECT: &str = "projects/p";
const METRIC: &str = "logging.googleapis.com/user/lines";

fn named<T: Default>(set: impl FnOnce(&mut T)) -> T {
    let mut message = T::default();
    set(&mut message);
    message
}

fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

fn mask(path: &str) -> Option<FieldMask> {
    Some(FieldMask {
        paths: vec![path.to_owned()],
    })
}

#[tokio::test]
async fn channels_and_policies() {
    let desk = Desk::with_mail().await;
    let channel = Channel::plain(&desk).await;
    let told = channels(&channel).await;
    channel_kinds(&channel).await;
    policies(&channel, &told).await;
    let mut client = Channels::new(channel.clone());
    let delete = named(|request: &mut monitoring::DeleteNotificationChannelRequest| {
        request.name.clone_from(&told);
        request.force = true;
    });
    client.delete_notification_channel(delete).await.unwrap();
    let snoozes =
        named(|request: &mut monitoring::ListSnoozesRequest| PROJECT.clone_into(&mut request.parent));
    let none = Snoozes::new(channel).list_snoozes(snoozes).await.unwrap();
    assert_eq!(none.into_inner().snoozes, []);
}

/// Makes a channel, and gives its name.
async fn channels(channel: &Channel) -> String {
    let mut client = Channels::new(channel.clone());
    let create = monitoring::CreateNotificationChannelRequest {
        name: PROJECT.to_owned(),
        notification_channel: Some(monitoring::NotificationChannel {
            r#type: "email".to_owned(),
            display_name: "Mail".to_owned(),
            labels: [("email_address".to_owned(), "a@example.com".to_owned())].into(),
            ..Default::default()
        }),
    };
    let made = client
        .create_notification_channel(create)
        .await
        .unwrap()
        .into_inner();
    let get =
        named(|request: &mut monitoring::GetNotificationChannelRequest| request.name.clone_from(&made.name));
    assert_eq!(
        client.get_notification_channel(get).await.unwrap().into_inner(),
        made
    );
    let update = monitoring::UpdateNotificationChannelRequest {
        update_mask: mask("display_name"),
        notification_channel: Some(monitoring::NotificationChannel {
            display_name: "Post".to_owned(),
            ..made.clone()
        }),
    };
    let changed = client
        .update_notification_channel(update)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(changed.display_name, "Post");
    let list = named(|request: &mut monitoring::ListNotificationChannelsRequest| {
        PROJECT.clone_into(&mut request.name);
        request.page_size = 5;
    });
    let listed = client
        .list_notification_channels(list)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (listed.notification_channels.as_slice(), listed.total_size),
        ([changed].as_slice(), 1)
    );
    // There is no way to send mail, which is a refusal and not a method that is missing.
    let test = named(
        |request: &mut monitoring::SendNotificationChannelVerificationCodeRequest| {
            request.name.clone_from(&made.name);
        },
    );
    let refused = client
        .send_notification_channel_verification_code(test)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition, "{refused:?}");
    made.name
}

async fn channel_kinds(channel: &Channel) {
    let mut client = Channels::new(channel.clone());
    let kinds = named(
        |request: &mut monitoring::ListNotificationChannelDescriptorsRequest| {
            PROJECT.clone_into(&mut request.name);
        },
    );
    let kinds = client
        .list_notification_channel_descriptors(kinds)
        .await
        .unwrap()
        .into_inner();
    let first = kinds.channel_descriptors[0].clone();
    let kind = named(
        |request: &mut monitoring::GetNotificationChannelDescriptorRequest| {
            request.name.clone_from(&first.name);
        },
    );
    let kind = client
        .get_notification_channel_descriptor(kind)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(kind, first);
}

async fn policies(channel: &Channel, told: &str) {
    let mut client = Policies::new(channel.clone());
    let threshold = monitoring::alert_policy::condition::MetricThreshold {
        filter: format!("metric.type=\"{METRIC}\""),
        comparison: monitoring::ComparisonType::ComparisonGt.into(),
        duration: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        ..Default::default()
    };
    let create = monitoring::CreateAlertPolicyRequest {
        name: PROJECT.to_owned(),
        alert_policy: Some(monitoring::AlertPolicy {
            display_name: "Blocked".to_owned(),
            conditions: vec![monitoring::alert_policy::Condition {
                display_name: "any".to_owned(),
                condition: Some(
                    monitoring::alert_policy::condition::Condition::ConditionThreshold(threshold),
                ),
                ..Default::default()
            }],
            combiner: monitoring::alert_policy::ConditionCombinerType::Or.into(),
            notification_channels: vec![told.to_owned()],
            ..Default::default()
        }),
    };
    let made = client.create_alert_policy(create).await.unwrap().into_inner();
    let get = named(|request: &mut monitoring::GetAlertPolicyRequest| request.name.clone_from(&made.name));
    assert_eq!(client.get_alert_policy(get).await.unwrap().into_inner(), made);
    let update = monitoring::UpdateAlertPolicyRequest {
        update_mask: mask("display_name"),
        alert_policy: Some(monitoring::AlertPolicy {
            display_name: "Refused".to_owned(),
            ..made.clone()
        }),
    };
    let changed = client.update_alert_policy(update).await.unwrap().into_inner();
    assert_eq!(changed.display_name, "Refused");
    let list = named(|request: &mut monitoring::ListAlertPoliciesRequest| {
        PROJECT.clone_into(&mut request.name);
        "display_name".clone_into(&mut request.order_by);
    });
    let listed = client.list_alert_policies(list).await.unwrap().into_inner();
    let is_shipped = |policy: &&monitoring::AlertPolicy| policy.name.contains("/binauthz-");
    let (shipped, own): (Vec<_>, Vec<_>) = listed.alert_policies.iter().partition(is_shipped);
    assert_eq!((shipped.len(), own), (3, vec![&changed]));
    let delete =
        named(|request: &mut monitoring::DeleteAlertPolicyRequest| request.name.clone_from(&made.name));
    client.delete_alert_policy(delete.clone()).await.unwrap();
    let gone = client.delete_alert_policy(delete).await.unwrap_err();
    assert_eq!(gone.code(), tonic::Code::NotFound);
}

#[tokio::test]
async fn metrics() {
    let desk = Desk::new().await;
    let define = json!({ "name": "lines", "filter": "logName:app" });
    desk.post("/v2/projects/p/metrics", define).await.ok();
    let write = json!({
        "logName": "projects/p/logs/app", "resource": { "type": "global" },
        "entries": [{ "textPayload": "a" }, { "textPayload": "b" }],
    });
    desk.post("/v2/entries:write", write).await.ok();
    let mut client = Metrics::new(Channel::plain(&desk).await);
    let now = i64::try_from(
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs(),
    )
    .unwrap();
    let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let list = monitoring::ListTimeSeriesRequest {
        name: PROJECT.to_owned(),
        filter: format!("metric.type=\"{METRIC}\""),
        interval: Some(monitoring::TimeInterval {
            start_time: at(now - 600),
            end_time: at(now + 120),
        }),
        aggregation: Some(monitoring::Aggregation {
            alignment_period: Some(seconds(720)),
            per_series_aligner: monitoring::aggregation::Aligner::AlignSum.into(),
            cross_series_reducer: monitoring::aggregation::Reducer::ReduceSum.into(),
            group_by_fields: vec!["resource.type".to_owned()],
        }),
        ..Default::default()
    };
    let two = Some(monitoring::typed_value::Value::Int64Value(2));
    let value_of = |series: &[monitoring::TimeSeries]| series.first()?.points.first()?.value.clone()?.value;
    let mut series = Vec::new();
    for _ in 0..600 {
        series = client
            .list_time_series(list.clone())
            .await
            .unwrap()
            .into_inner()
            .time_series;
        if value_of(&series) == two {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(value_of(&series), two);
    let headers = monitoring::ListTimeSeriesRequest {
        view: monitoring::list_time_series_request::TimeSeriesView::Headers.into(),
        aggregation: None,
        ..list.clone()
    };
    let headers = client.list_time_series(headers).await.unwrap().into_inner();
    assert_eq!(
        (headers.time_series.len(), headers.time_series[0].points.len()),
        (1, 0)
    );
    let wrong = monitoring::ListTimeSeriesRequest {
        interval: None,
        ..list
    };
    let refused = client.list_time_series(wrong).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (tonic::Code::InvalidArgument, "`interval` is required")
    );
    described(client).await;
}

async fn described(mut client: Metrics<Channel>) {
    let all =
        named(|request: &mut monitoring::ListMetricDescriptorsRequest| PROJECT.clone_into(&mut request.name));
    let all = client.list_metric_descriptors(all).await.unwrap().into_inner();
    let one = named(|request: &mut monitoring::GetMetricDescriptorRequest| {
        request.name = format!("{PROJECT}/metricDescriptors/{METRIC}");
    });
    let one = client.get_metric_descriptor(one).await.unwrap().into_inner();
    assert_eq!(
        (one.r#type.as_str(), all.metric_descriptors),
        (METRIC, vec![one.clone()])
    );
    let all = named(
        |request: &mut monitoring::ListMonitoredResourceDescriptorsRequest| {
            PROJECT.clone_into(&mut request.name);
        },
    );
    let all = client
        .list_monitored_resource_descriptors(all)
        .await
        .unwrap()
        .into_inner();
    let one = named(
        |request: &mut monitoring::GetMonitoredResourceDescriptorRequest| {
            request.name = format!("{PROJECT}/monitoredResourceDescriptors/k8s_cluster");
        },
    );
    let one = client
        .get_monitored_resource_descriptor(one)
        .await
        .unwrap()
        .into_inner();
    assert!(all.resource_descriptors.contains(&one), "{one:?}");
}
