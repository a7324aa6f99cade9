use serde_json::{Value as Json, json};

use super::channel::{
    DESCRIPTORS, is_mail_address, read_channel, write_channel, write_descriptor, write_stored_channel,
};
use super::policy::{
    Combiner, Comparison, ConditionKind, Trigger, read_policy, write_policy, write_stored_policy,
};
use super::time_series::{read_time_series, write_time_series};
use super::*;
use crate::field_mask::FieldMask;

const METRIC: &str = "metric.type=\"logging.googleapis.com/user/binauthz-blocked-deployments\"";

fn by_alice() -> Mutation {
    Mutation {
        time: UnixTime::from_seconds(1_795_420_800),
        by: "alice@example.com".to_owned(),
    }
}

mod filters {
    use super::*;

    fn matches(text: &str) -> bool {
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let metric_labels = [label("zone", "us-a"), label("a.b", "1")];
        let resource_labels = [label("cluster_name", "my-cluster")];
        Filter::parse(text)
            .unwrap_or_else(|error| panic!("{text}: {error}"))
            .matches(Series {
                project: "demo",
                metric_type: "logging.googleapis.com/user/m",
                metric_labels: &metric_labels,
                resource_type: "k8s_cluster",
                resource_labels: &resource_labels,
            })
    }

    #[test]
    fn what_they_find() {
        for (text, expected) in [
            ("", true),
            (r#"metric.type="logging.googleapis.com/user/m""#, true),
            (r#"metric.type="logging.googleapis.com/user/M""#, false),
            ("metric.type=logging.googleapis.com/user/m", true),
            (r#"metric.type!="logging.googleapis.com/user/m""#, false),
            (r#"resource.type = "k8s_cluster" AND project = demo"#, true),
            (r#"resource.type = "k8s_cluster" AND project = other"#, false),
            (r#"resource.type=("global" OR "k8s_cluster")"#, true),
            (r#"metric.labels.zone="us-a""#, true),
            (
                r#"metric.label.zone="us-a" resource.label.cluster_name=my-cluster"#,
                true,
            ),
            (r#"metric.label."a.b"=1"#, true),
            (r#"metric.label.a.b=1"#, true),
            (r#"metric.labels.zone!="us-a""#, false),
            (r#"metric.labels.zone:"s-""#, true),
            (r#"metric.labels.zone:"S-""#, false),
            ("metric.labels.zone:*", true),
            ("metric.labels.nope:*", false),
            (r#"metric.labels.nope="""#, true),
            (r#"metric.labels.zone=starts_with("us")"#, true),
            (r#"metric.labels.zone=starts_with("a")"#, false),
            (r#"metric.labels.zone=ends_with("-a")"#, true),
            (r#"metric.labels.zone!=ends_with("-a")"#, false),
            (r#"resource.labels.cluster_name=has_substring("clus")"#, true),
            (r#"resource.labels.cluster_name=has_substring("lusc")"#, false),
            (r#"metric.labels.zone=one_of("us-b","us-a")"#, true),
            (r#"metric.labels.zone=one_of("us-b","us-c")"#, false),
            (r#"NOT metric.labels.zone=one_of("us-b","us-c")"#, true),
        ] {
            assert_eq!(matches(text), expected, "{text}");
        }
    }

    #[test]
    fn what_they_refuse() {
        for (text, expected) in [
            (
                "metric.kind=x",
                "column 1: `metric.kind` is not a field of a time series",
            ),
            ("metric.labels=x", "column 1: `metric.labels` is not a field"),
            ("group.id=x", "column 1: `group.id` is not a field"),
            ("metric.type", "column 1: expected a comparison"),
            ("starts_with(\"a\")", "column 1: expected a comparison"),
            ("metric.type>x", "column 13: expected `=`, `!=` or `:`"),
            ("metric.type=~x", "column 14: expected `=`, `!=` or `:`"),
            (
                "metric.type:starts_with(\"x\")",
                "column 13: expected `=` or `!=` before a function",
            ),
            (
                "metric.type=like(\"x\")",
                "column 13: `like` is not a function here",
            ),
            (
                "metric.type=starts_with(\"x\",\"y\")",
                "column 13: expected `starts_with(\"TEXT\")`",
            ),
            (
                "metric.type=one_of()",
                "column 13: expected `one_of(\"TEXT\", …)`",
            ),
            ("starts_with(metric.type)=x", "column 1: expected a field"),
            ("metric.type=\"x\\d\"", "column 15: expected `\\\"`"),
        ] {
            let error = Filter::parse(text).expect_err(text);
            assert_eq!(error.path, "filter");
            assert!(error.description().starts_with(expected), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(metric|[.]type|resource|project|one_of|AND|NOT|x|[ ()=!<>:~,\"'\\\\.-]){0,40}") {
            if let Ok(filter) = Filter::parse(&text) {
                let _ = filter.metric_type();
            }
        }
    }

    #[test]
    fn the_metric_is_found_where_it_must_be() {
        let metric = |text: &str| Filter::parse(text).unwrap().metric_type().map(str::to_owned);
        assert_eq!(metric("metric.type=a").as_deref(), Some("a"));
        assert_eq!(metric("resource.type=b AND metric.type=a").as_deref(), Some("a"));
        for text in [
            "",
            "metric.type!=a",
            "metric.type:a",
            "NOT metric.type=a",
            "metric.type=a OR metric.type=b",
            "metric.type=one_of(\"a\",\"b\")",
        ] {
            assert_eq!(metric(text), None, "{text}");
        }
    }
}

mod policies {
    use std::time::Duration;

    use super::*;

    /// As gcloud sends it for `--if='> 0' --duration=0s`.
    fn of_gcloud() -> Json {
        json!({
            "conditions": [{
                "conditionThreshold": {
                    "comparison": "COMPARISON_GT", "duration": "0s", "filter": METRIC, "thresholdValue": 0.0,
                },
                "displayName": "Unsigned image deployment attempted",
            }],
            "displayName": "Binary Auth Blocked Deployment",
            "notificationChannels": ["projects/demo/notificationChannels/1"],
        })
    }

    fn threshold(member: &str, value: Json) -> Json {
        let mut policy = of_gcloud();
        policy["conditions"][0]["conditionThreshold"][member] = value;
        policy
    }

    fn with(member: &str, value: Json) -> Json {
        let mut policy = of_gcloud();
        policy[member] = value;
        policy
    }

    fn on_logs() -> Json {
        json!({
            "conditions": [{"conditionMatchedLog": {
                "filter": "severity>=ERROR", "labelExtractors": {"pod": "EXTRACT(jsonPayload.podName)"},
            }}],
            "alertStrategy": {"notificationRateLimit": {"period": "300s"}, "autoClose": "1800s"},
        })
    }

    const NAME: &str = "projects/demo/alertPolicies/7";

    #[test]
    fn a_policy_of_gcloud() {
        let mut policy = read_policy(of_gcloud().into()).unwrap();
        assert_eq!(policy.combiner, Combiner::Or);
        assert!(policy.enabled);
        policy.name_conditions(NAME);
        let written = write_policy(NAME, &policy, &by_alice(), &by_alice());
        let record = json!({"mutateTime": "2026-11-23T08:00:00Z", "mutatedBy": "alice@example.com"});
        let mut expected = of_gcloud();
        expected["name"] = NAME.into();
        expected["creationRecord"] = record.clone();
        expected["mutationRecord"] = record;
        expected["combiner"] = "OR".into();
        expected["enabled"] = true.into();
        expected["conditions"][0]["name"] = format!("{NAME}/conditions/1").into();
        expected["conditions"][0]["conditionThreshold"]["trigger"] = json!({"count": 1});
        assert_eq!(written, expected);
        assert_eq!(
            read_policy(written.into()).unwrap(),
            policy,
            "gcloud sends back what it got"
        );
    }

    #[test]
    fn a_policy_with_everything() {
        let value = json!({
            "display_name": "All", "combiner": 1, "enabled": false, "severity": "CRITICAL",
            "user_labels": {"team": "a"},
            "documentation": {
                "content": "Look.", "mime_type": "text/markdown", "subject": "S",
                "links": [{"display_name": "Book", "url": "https://docs.test/"}],
            },
            "alert_strategy": {"auto_close": "3600s", "notification_prompts": ["OPENED", 3]},
            "conditions": [
                {"display_name": "T", "condition_threshold": {
                    "filter": METRIC, "comparison": 3, "threshold_value": "1.5", "duration": "60s",
                    "trigger": {"percent": 50}, "evaluation_missing_data": "EVALUATION_MISSING_DATA_ACTIVE",
                    "aggregations": [{
                        "alignment_period": "60s", "per_series_aligner": "ALIGN_DELTA",
                        "cross_series_reducer": 4, "group_by_fields": ["metric.label.zone"],
                    }],
                }},
                {"condition_absent": {"filter": METRIC, "duration": "300s", "trigger": {"count": "2"}}},
            ],
        });
        let policy = read_policy(value.into()).unwrap();
        assert_eq!(policy.combiner, Combiner::And);
        let ConditionKind::Threshold(threshold) = &policy.conditions[0].kind else {
            panic!("{policy:?}");
        };
        assert_eq!(threshold.comparison, Comparison::Less);
        assert_eq!(
            (threshold.value, threshold.duration),
            (1.5, Duration::from_secs(60))
        );
        assert_eq!(threshold.trigger, Trigger::Percent(50.0));
        let ConditionKind::Absent(absence) = &policy.conditions[1].kind else {
            panic!("{policy:?}");
        };
        assert_eq!(absence.trigger, Trigger::Count(2));
        let stored = write_stored_policy(&policy);
        assert_eq!(read_policy(stored.clone().into()).unwrap(), policy, "{stored}");
        assert_eq!(
            stored["alertStrategy"]["notificationPrompts"],
            json!(["OPENED", "CLOSED"])
        );
        assert_eq!(
            stored["conditions"][0]["conditionThreshold"]["aggregations"][0]["crossSeriesReducer"],
            "REDUCE_SUM"
        );
    }

    #[test]
    fn a_policy_on_logs() {
        let policy = read_policy(on_logs().into()).unwrap();
        let ConditionKind::MatchedLog(matched) = &policy.conditions[0].kind else {
            panic!("{policy:?}");
        };
        assert_eq!(matched.filter.text(), "severity>=ERROR");
        let stored = write_stored_policy(&policy);
        assert_eq!(read_policy(stored.into()).unwrap(), policy);
    }

    #[test]
    fn conditions_keep_their_names() {
        let mut policy = read_policy(of_gcloud().into()).unwrap();
        let copy = policy.conditions[0].clone();
        policy.conditions = vec![copy; 4];
        policy.conditions[1].name = Some(format!("{NAME}/conditions/1"));
        policy.conditions[2].name = Some(format!("{NAME}/conditions/1"));
        policy.conditions[3].name = Some("projects/demo/alertPolicies/8/conditions/5".to_owned());
        policy.name_conditions(NAME);
        let names: Vec<_> = policy
            .conditions
            .iter()
            .map(|condition| condition.name.clone().unwrap())
            .collect();
        let expected = ["2", "1", "3", "4"].map(|number| format!("{NAME}/conditions/{number}"));
        assert_eq!(names, expected);
    }

    #[test]
    fn an_update_changes_what_its_mask_names() {
        let policy = read_policy(of_gcloud().into()).unwrap();
        let mask = |text: &str| FieldMask::parse(text, policy::FIELDS).unwrap();
        let updated = policy
            .updated(json!({"enabled": false}).into(), &mask("enabled"))
            .unwrap();
        assert!(!updated.enabled);
        assert_eq!(updated.conditions, policy.conditions);
        assert_eq!(updated.display_name, policy.display_name);
        let renamed = policy
            .updated(json!({"displayName": "New"}).into(), &mask("display_name"))
            .unwrap();
        assert_eq!(renamed.display_name, "New");
        let all = policy.updated(json!({"enabled": false}).into(), &mask(""));
        assert!(all.unwrap_err().to_string().contains("at least one condition"));
        let limit = json!({"alertStrategy": {"notificationRateLimit": {"period": "60s"}}});
        assert!(policy.updated(limit.into(), &mask("alertStrategy")).is_err());
    }

    fn refused(rows: Vec<(Json, &str)>) {
        for (value, expected) in rows {
            let error = read_policy(value.clone().into())
                .expect_err(&value.to_string())
                .to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn policies_that_are_refused() {
        let mut both = on_logs();
        let conditions = both["conditions"].as_array_mut().unwrap();
        conditions.push(of_gcloud()["conditions"][0].clone());
        let mut without_limit = on_logs();
        without_limit["alertStrategy"] = json!({});
        refused(vec![
            (
                with("conditions", json!([])),
                "`conditions`: expected at least one",
            ),
            (
                with("conditions", json!([{}])),
                "`conditions[0]`: expected one of `conditionThreshold`",
            ),
            (
                with("conditions", json!([{"conditionTreshold": {}}])),
                "`conditions[0].conditionTreshold` is not a known field; did you mean `conditionThreshold`?",
            ),
            (with("frob", json!(1)), "`frob` is not a known field"),
            (
                with("combiner", json!("XOR")),
                "`combiner` is `XOR`, which is not one of `AND`",
            ),
            (
                with("documentation", json!({"mimeType": "text/html"})),
                "`documentation.mimeType`: expected `text/markdown`",
            ),
            (
                with("alertStrategy", json!({"autoClose": "1799s"})),
                "`alertStrategy.autoClose`: expected at least `1800s`",
            ),
            (
                with("alertStrategy", json!({"notificationPrompts": [2]})),
                "`alertStrategy.notificationPrompts[0]` is 2",
            ),
            (
                with("alertStrategy", json!({"notificationPrompts": [0]})),
                "`alertStrategy.notificationPrompts[0]`: expected one of",
            ),
            (
                with("alertStrategy", json!({"notificationChannelStrategy": [{}]})),
                "`alertStrategy.notificationChannelStrategy`: incidents are not",
            ),
            (
                with(
                    "alertStrategy",
                    json!({"notificationRateLimit": {"period": "60s"}}),
                ),
                "`alertStrategy.notificationRateLimit`: is for policies",
            ),
            (
                both,
                "`conditions`: expected a condition with `conditionMatchedLog` to be the only one",
            ),
            (
                without_limit,
                "`alertStrategy.notificationRateLimit`: is required",
            ),
        ]);
        for (form, language) in [
            ("conditionMonitoringQueryLanguage", "MQL"),
            ("conditionPrometheusQueryLanguage", "PromQL"),
            ("conditionSql", "SQL"),
        ] {
            let expected = format!("`conditions[0].{form}`: conditions in {language} are not evaluated");
            refused(vec![(
                with("conditions", json!([{form: {"query": "x"}}])),
                &expected,
            )]);
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn conditions_that_are_refused() {
        refused(vec![
            (
                threshold("filter", json!("")),
                "`conditions[0].conditionThreshold.filter` is required",
            ),
            (
                threshold("filter", json!("metric.kind=x")),
                "`conditions[0].conditionThreshold.filter`: column 1: `metric.kind`",
            ),
            (
                threshold("filter", json!("resource.type=x")),
                "`conditions[0].conditionThreshold.filter`: expected `metric.type = \"…\"`",
            ),
            (
                threshold("comparison", json!(null)),
                "`conditions[0].conditionThreshold.comparison`: is required",
            ),
            (
                threshold("thresholdValue", json!("many")),
                "`conditions[0].conditionThreshold.thresholdValue` must be a finite number",
            ),
            (
                threshold("thresholdValue", json!("NaN")),
                "`conditions[0].conditionThreshold.thresholdValue` must be a finite number",
            ),
            (
                threshold("duration", json!("1m")),
                "`conditions[0].conditionThreshold.duration` must be a duration",
            ),
            (
                threshold("duration", json!("86401s")),
                "`conditions[0].conditionThreshold.duration`: is longer than",
            ),
            (
                threshold("trigger", json!({"count": 0})),
                "`conditions[0].conditionThreshold.trigger.count`: expected",
            ),
            (
                threshold("trigger", json!({"count": 1, "percent": 1})),
                "`conditions[0].conditionThreshold.trigger.percent`: is given beside",
            ),
            (
                threshold("denominatorFilter", json!("x")),
                "`conditions[0].conditionThreshold.denominatorFilter`: ratios",
            ),
            (
                threshold(
                    "aggregations",
                    json!([{"perSeriesAligner": "ALIGN_PERCENTILE_99"}]),
                ),
                "`conditions[0].conditionThreshold.aggregations[0].perSeriesAligner`: is not computed",
            ),
            (
                threshold(
                    "aggregations",
                    json!([{"perSeriesAligner": "ALIGN_SUM", "alignmentPeriod": "30s"}]),
                ),
                "`conditions[0].conditionThreshold.aggregations[0].alignmentPeriod`: expected at least",
            ),
            (
                threshold("aggregations", json!([{}, {}])),
                "`conditions[0].conditionThreshold.aggregations`: has more than 1 entry",
            ),
            (
                threshold("aggregations", json!([{"crossSeriesReducer": "REDUCE_SUM"}])),
                "`conditions[0].conditionThreshold.aggregations[0].perSeriesAligner`: expected an aligner",
            ),
            (
                with("conditions", json!([{"conditionAbsent": {"filter": METRIC}}])),
                "`conditions[0].conditionAbsent.duration`: expected how long",
            ),
            (
                with(
                    "conditions",
                    json!([{"conditionMatchedLog": {"filter": "thud=x"}}]),
                ),
                "`conditions[0].conditionMatchedLog.filter`: column 1: `thud`",
            ),
            (
                with(
                    "conditions",
                    json!([{"conditionMatchedLog": {"filter": "x"}, "conditionAbsent": {"filter": METRIC, "duration": "60s"}}]),
                ),
                "`conditions[0]`: expected one of",
            ),
        ]);
    }

    #[test]
    fn comparisons() {
        for (comparison, expected) in [
            (Comparison::Greater, [false, false, true]),
            (Comparison::GreaterOrEqual, [false, true, true]),
            (Comparison::Less, [true, false, false]),
            (Comparison::LessOrEqual, [true, true, false]),
            (Comparison::Equal, [false, true, false]),
            (Comparison::NotEqual, [true, false, true]),
        ] {
            assert_eq!(
                [0.0, 1.0, 2.0].map(|value| comparison.holds(value, 1.0)),
                expected,
                "{comparison:?}"
            );
        }
    }
}

mod channels {
    use super::*;

    const NAME: &str = "projects/demo/notificationChannels/7";

    fn webhook() -> Json {
        json!({"type": "webhook_basicauth", "labels": {"url": "https://a.test/", "username": "u", "password": "hush"}})
    }

    /// As gcloud sends it.
    #[test]
    fn a_channel_of_gcloud() {
        let value =
            json!({"displayName": "Oncall", "labels": {"email_address": "a@example.com"}, "type": "email"});
        let channel = read_channel(value.clone().into()).unwrap();
        let written = write_channel(NAME, &channel, &by_alice(), &[]);
        let mut expected = value;
        expected["name"] = NAME.into();
        expected["enabled"] = true.into();
        expected["creationRecord"] =
            json!({"mutateTime": "2026-11-23T08:00:00Z", "mutatedBy": "alice@example.com"});
        assert_eq!(written, expected);
        assert_eq!(read_channel(written.into()).unwrap(), channel);
        let updated = write_channel(NAME, &channel, &by_alice(), &[by_alice()]);
        assert_eq!(updated["mutationRecords"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn secrets_are_kept_and_not_shown() {
        let channel = read_channel(webhook().into()).unwrap();
        assert!(!format!("{channel:?}").contains("hush"));
        let shown = write_channel(NAME, &channel, &by_alice(), &[]);
        assert_eq!(shown["labels"]["password"], "****");
        assert_eq!(shown["labels"]["username"], "u");
        let stored = write_stored_channel(&channel);
        assert_eq!(stored["labels"]["password"], "hush");
        assert_eq!(read_channel(stored.into()).unwrap(), channel);
        let mask = FieldMask::parse("", channel::FIELDS).unwrap();
        let mut update = shown;
        update["displayName"] = "New".into();
        let updated = channel.updated(update.into(), &mask).unwrap();
        assert_eq!(updated.label("password"), Some("hush"));
        assert_eq!(updated.display_name, "New");
        let mut changed = webhook();
        changed["labels"]["password"] = "new".into();
        assert_eq!(
            channel.updated(changed.into(), &mask).unwrap().label("password"),
            Some("new")
        );
    }

    #[test]
    fn a_hidden_secret_stands_for_one_that_is_kept() {
        let mut channel = read_channel(webhook().into()).unwrap();
        let secrets = channel.hide_secrets();
        assert_eq!(secrets, [("password".to_owned(), "hush".to_owned())]);
        assert_eq!(channel.label("password"), Some("****"));
        let error = channel.clone().reveal_secrets(&[]).unwrap_err().to_string();
        assert!(
            error.starts_with("`labels[\"password\"]`: expected the secret itself"),
            "{error}"
        );
        channel.reveal_secrets(&secrets).unwrap();
        assert_eq!(channel.label("password"), Some("hush"));
        let value =
            json!({"type": "slack", "labels": {"channel_name": "#a"}, "sensitiveLabels": {"authToken": "t"}});
        assert_eq!(read_channel(value.into()).unwrap().label("auth_token"), Some("t"));
    }

    #[test]
    fn a_secret_that_need_not_be_given_is_kept() {
        let with = |labels: Json| json!({"type": "webhook_tokenauth", "labels": labels});
        let channel = read_channel(with(json!({"url": "https://a", "secret": "s"})).into()).unwrap();
        let mask = FieldMask::parse("labels", channel::FIELDS).unwrap();
        let updated = channel
            .updated(with(json!({"url": "https://b"})).into(), &mask)
            .unwrap();
        assert_eq!(
            (updated.label("url"), updated.label("secret")),
            (Some("https://b"), Some("s"))
        );
        let bare = read_channel(with(json!({"url": "https://a"})).into()).unwrap();
        assert_eq!(bare.label("secret"), None);
    }

    #[test]
    fn an_update_changes_what_its_mask_names() {
        let channel = read_channel(webhook().into()).unwrap();
        let mask = |text: &str| FieldMask::parse(text, channel::FIELDS).unwrap();
        let updated = channel.updated(
            json!({"displayName": "New", "enabled": false}).into(),
            &mask("display_name"),
        );
        let updated = updated.unwrap();
        assert_eq!((updated.display_name.as_str(), updated.enabled), ("New", true));
        assert_eq!(updated.labels, channel.labels);
        let bare = channel.updated(json!({"type": "email"}).into(), &mask("type"));
        assert_eq!(
            bare.unwrap_err().to_string(),
            "`labels[\"email_address\"]` is required"
        );
    }

    #[test]
    fn a_mail_address_is_one_that_mail_reaches() {
        let (name, label) = ("n".repeat(64), "l".repeat(63));
        for text in [
            "a@b",
            "first.last+tag@mail-1.example.com",
            "!#$%&'*+-/=?^_`{|}~@example.com",
            "a@127.0.0.1",
            &format!("{name}@{label}"),
            &format!("{name}@{label}.{label}.{}", "l".repeat(61)),
        ] {
            assert!(is_mail_address(text), "{text}");
        }
        for text in [
            "",
            "a",
            "@b",
            "a@",
            "a@b@c",
            ".a@b",
            "a.@b",
            "a..b@c",
            "a@.b",
            "a@b.",
            "a@b..c",
            "a@-b",
            "a@b-",
            "a@b_c",
            "a@[127.0.0.1]",
            "\"a b\"@c",
            "a b@c",
            "a@b c",
            "a@b\r\nBcc: c@d",
            "<a@b>",
            "ü@b",
            "a@ü",
            "a@b, c@d",
            &format!("{name}n@{label}"),
            &format!("{name}@{label}l"),
            &format!("{name}@{label}.{label}.{}", "l".repeat(62)),
        ] {
            assert!(!is_mail_address(text), "{text}");
        }
    }

    #[test]
    fn channels_that_are_refused() {
        for (value, expected) in [
            (
                json!({}),
                "`type`: expected a kind of channel that this server knows: `email`",
            ),
            (
                json!({"type": "carrier_pigeon"}),
                "`type`: expected a kind of channel",
            ),
            (
                json!({"type": "pubsub", "labels": {"topic": "t"}}),
                "`type`: expected a kind of channel",
            ),
            (
                json!({"type": "email", "labels": {"email_address": "a@b, c@d"}}),
                "`labels[\"email_address\"]`: expected one address",
            ),
            (
                json!({"type": "email", "labels": {"email_address": "a@b\r\nBcc: c@d"}}),
                "`labels[\"email_address\"]`: expected one address",
            ),
            (
                json!({"type": "webhook_tokenauth", "labels": {"url": "file:///etc/passwd"}}),
                "`labels[\"url\"]`: expected a URL",
            ),
            (
                json!({"type": "webhook_tokenauth", "labels": {"url": "https://a", "secret": ""}}),
                "`labels[\"secret\"]` is required",
            ),
            (
                json!({"type": "pagerduty", "labels": {"service_key": "k"}, "sensitiveLabels": {"serviceKey": "l"}}),
                "`sensitiveLabels.serviceKey`: is given beside",
            ),
            (
                json!({"type": "email"}),
                "`labels[\"email_address\"]` is required",
            ),
            (
                json!({"type": "email", "labels": {"email_address": ""}}),
                "`labels[\"email_address\"]` is required",
            ),
            (
                json!({"type": "email", "labels": {"email_address": "a@b", "x": "y"}}),
                "`labels[\"x\"]`: is not a label of a channel of type `email`",
            ),
            (
                json!({"type": "email", "labels": {"email_address": 1}}),
                "`labels[\"email_address\"]` must be a string",
            ),
            (json!({"type": "email", "frob": 1}), "`frob` is not a known field"),
        ] {
            let error = read_channel(value.clone().into())
                .expect_err(&value.to_string())
                .to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn kinds_are_described() {
        let written = write_descriptor("demo", &DESCRIPTORS[0]);
        assert_eq!(
            written["name"],
            "projects/demo/notificationChannelDescriptors/email"
        );
        assert_eq!(written["labels"][0]["key"], "email_address");
    }
}

mod series {
    use super::*;

    fn of_a_count() -> Json {
        json!({
            "metric": {"type": "logging.googleapis.com/user/m", "labels": {"zone": "a"}},
            "resource": {"type": "k8s_cluster", "labels": {"project_id": "demo"}},
            "metricKind": "DELTA", "valueType": "INT64",
            "points": [{
                "interval": {"startTime": "2026-11-23T08:00:00Z", "endTime": "2026-11-23T08:01:00Z"},
                "value": {"int64Value": "3"},
            }],
        })
    }

    #[test]
    fn a_series_survives_its_json() {
        let distribution = json!({"distributionValue": {
            "count": "2", "mean": 1.5, "sumOfSquaredDeviation": 0.5,
            "bucketOptions": {"explicitBuckets": {"bounds": [1.0, 2.0]}}, "bucketCounts": ["0", "2", "0"],
        }});
        for (kind, value) in [
            ("INT64", json!({"int64Value": "3"})),
            ("DOUBLE", json!({"doubleValue": 1.5})),
            ("BOOL", json!({"boolValue": false})),
            ("STRING", json!({"stringValue": ""})),
            ("DISTRIBUTION", distribution),
        ] {
            let mut json = of_a_count();
            json["valueType"] = kind.into();
            json["points"][0]["value"] = value;
            let series =
                read_time_series(json.clone().into()).unwrap_or_else(|error| panic!("{kind}: {error}"));
            assert_eq!(write_time_series(&series), json);
        }
        let series = read_time_series(of_a_count().into()).unwrap();
        let filter = Filter::parse("metric.labels.zone=a AND project=demo").unwrap();
        assert!(filter.matches(series.series("demo")));
        assert!(!filter.matches(series.series("other")));
    }

    #[test]
    fn series_that_are_refused() {
        let point = |member: &str, value: Json| {
            let mut json = of_a_count();
            json["points"][0][member] = value;
            json
        };
        for (value, expected) in [
            (json!({}), "`metric` is required"),
            (
                point("value", json!({"doubleValue": 1})),
                "`points[0].value`: expected a value of type `INT64`",
            ),
            (point("value", json!({})), "`points[0].value`: expected one value"),
            (
                point("value", json!({"int64Value": 1, "boolValue": true})),
                "`points[0].value`: expected one value",
            ),
            (
                point("value", json!({"int64Value": "x"})),
                "`points[0].value.int64Value` must be a whole number",
            ),
            (
                point("interval", json!({})),
                "`points[0].interval.endTime` is required",
            ),
            (
                point(
                    "interval",
                    json!({"startTime": "2026-11-23T08:00:01Z", "endTime": "2026-11-23T08:00:00Z"}),
                ),
                "`points[0].interval.startTime`: is after `endTime`",
            ),
        ] {
            let error = read_time_series(value.clone().into())
                .expect_err(&value.to_string())
                .to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
