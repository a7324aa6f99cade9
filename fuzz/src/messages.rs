//! Messages of the API: JSON, YAML, protobuf, and every reader of one.

use binauthz_core::time::UnixTime;
use binauthz_wire::binaryauthorization::{self, NoteView, Stamp};
use binauthz_wire::json::{self, Limits, Value};
use binauthz_wire::{
    cloudkms, container, containeranalysis, iam, logging, monitoring, proto, serviceusage, yaml,
};
use serde_json::Value as Json;

use crate::Outcome;

/// Whatever is taken here, `serde_json` takes and reads alike.
pub(crate) fn json(bytes: &[u8]) -> Outcome {
    let read = json::parse(bytes, Limits::API);
    if let Ok(value) = &read {
        let other: Json = serde_json::from_slice(bytes).expect("what was read is JSON");
        assert_eq!(Json::from(value.clone()), other, "two readers, two values");
    }
    Outcome::of(&read)
}

pub(crate) fn policy_yaml(bytes: &[u8]) -> Outcome {
    let Ok(value) = yaml::parse(bytes) else {
        return Outcome::Refused;
    };
    let json = Json::from(value.clone());
    // A document that is nothing is written as nothing, which is no document.
    if !json.is_null() {
        let again = yaml::parse(yaml::write(&json).as_bytes()).expect("what was written is YAML");
        assert_eq!(Json::from(again), json, "another value was written");
    }
    let Ok(read) = binaryauthorization::read_policy(value) else {
        return Outcome::Refused;
    };
    let stamp = Stamp {
        updated: None,
        etag: String::new(),
    };
    let written = binaryauthorization::write_policy("projects/p/policy", &read.policy, &stamp);
    let again = binaryauthorization::read_policy(Value::from(written)).expect("what was written is a policy");
    assert_eq!(again.policy, read.policy, "another policy was written");
    Outcome::Read
}

/// A body of the API, given to every reader of one. It is read if one of them takes it.
pub(crate) fn api_message(bytes: &[u8]) -> Outcome {
    let Ok(value) = json::parse(bytes, Limits::API) else {
        return Outcome::Refused;
    };
    let now = UnixTime::from_seconds(0);
    let again = || value.clone();
    let taken = [
        binaryauthorization::read_policy(again()).is_ok(),
        binaryauthorization::read_attestor(again(), NoteView::Grafeas).is_ok(),
        binaryauthorization::read_attestor(again(), NoteView::Drydock).is_ok(),
        binaryauthorization::read_validate_request(again()).is_ok(),
        containeranalysis::read_note(again()).is_ok(),
        containeranalysis::read_occurrence(again()).is_ok(),
        cloudkms::read_new_crypto_key(again()).is_ok(),
        cloudkms::read_crypto_key_patch(again()).is_ok(),
        cloudkms::read_version_patch(again()).is_ok(),
        cloudkms::read_new_version(again()).is_ok(),
        cloudkms::read_sign_request(again()).is_ok(),
        container::read_create_request(again()).is_ok(),
        container::read_update_request(again()).is_ok(),
        container::read_stored_cluster(again()).is_ok(),
        container::read_operation(again(), "o", now).is_ok(),
        iam::read_policy(again()).is_ok(),
        iam::read_set_request(again()).is_ok(),
        iam::read_test_request(again()).is_ok(),
        serviceusage::read_enable_request(again()).is_ok(),
        serviceusage::read_batch_enable_request(again()).is_ok(),
        logging::metric::read_metric(again()).is_ok(),
        logging::read_stored(again()).is_ok(),
        monitoring::policy::read_policy(again()).is_ok(),
        monitoring::channel::read_channel(again()).is_ok(),
        monitoring::query::read_series_query(again()).is_ok(),
        monitoring::time_series::read_time_series(again()).is_ok(),
    ];
    if taken.contains(&true) {
        Outcome::Read
    } else {
        Outcome::Refused
    }
}

/// Messages whose fields are of every kind; the first byte says which.
const MESSAGES: &[&str] = &[
    "google.cloud.binaryauthorization.v1.Policy",
    "google.cloud.binaryauthorization.v1.Attestor",
    "google.cloud.kms.v1.AsymmetricSignRequest",
    "google.cloud.kms.v1.CryptoKey",
    "grafeas.v1.Occurrence",
    "grafeas.v1.Note",
    "google.logging.v2.WriteLogEntriesRequest",
    "google.monitoring.v3.AlertPolicy",
    "google.rpc.Status",
];

/// What is decoded is encoded again, and decodes to the same.
pub(crate) fn protobuf(bytes: &[u8]) -> Outcome {
    let Some((first, rest)) = bytes.split_first() else {
        return Outcome::Refused;
    };
    let name = MESSAGES[usize::from(*first) % MESSAGES.len()];
    let kind = proto::message_type(name).expect("a message of the tables");
    let Ok(members) = kind.decode(rest) else {
        return Outcome::Refused;
    };
    let json = Json::Object(members);
    let encoded = kind
        .encode(json.clone(), proto::Unlisted::Refuse)
        .expect("what was decoded is such a message");
    let again = kind.decode(&encoded).expect("what was encoded is such a message");
    assert_eq!(Json::Object(again), json, "another message was encoded");
    Outcome::Read
}
