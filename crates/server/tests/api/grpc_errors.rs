//! gRPC on the API port: how calls fail, and what they leave behind.

use std::pin::Pin;
use std::task::{Context, Poll};

use binauthz_wire::proto::{MessageType, Unlisted, message_type};
use googleapis_tonic_google_cloud_kms_v1::google::cloud::kms::v1 as kms;
use googleapis_tonic_google_rpc::google::rpc;
use hyper::body::{Bytes, Frame};
use prost::Message as _;
use serde_json::{Value, json};
use tonic::Code;

use crate::support::Desk;
use crate::wire::{Channel, Raw, framed};

const CREATE: &str = "/grafeas.v1.Grafeas/CreateNote";
const GET: &str = "/grafeas.v1.Grafeas/GetNote";

fn kind(name: &str) -> MessageType {
    message_type(name).unwrap()
}

fn create(note: Value) -> Vec<u8> {
    let request = json!({ "parent": "projects/p", "noteId": "n", "note": note });
    kind("grafeas.v1.CreateNoteRequest")
        .encode(request, Unlisted::Refuse)
        .unwrap()
}

fn get(name: &str) -> Vec<u8> {
    kind("grafeas.v1.GetNoteRequest")
        .encode(json!({ "name": name }), Unlisted::Refuse)
        .unwrap()
}

fn attestation() -> Value {
    json!({ "attestation": {} })
}

#[track_caller]
fn refused(raw: &Raw, code: Code, message: &str) {
    assert_eq!(raw.status.code(), code, "{}", raw.status);
    assert!(raw.status.message().contains(message), "{}", raw.status);
    assert!(raw.message.is_empty());
}

#[tokio::test]
async fn who_calls_comes_first() {
    let desk = Desk::new().await;
    let channel = Channel::plain(&desk).await;
    for nobody in [channel.with_token(None), channel.with_token(Some("wrong"))] {
        for path in [CREATE, GET, "/grafeas.v1.Grafeas/Nothing", "/nothing"] {
            let raw = nobody.call_with(path, b"nonsense".to_vec(), &[]).await;
            refused(&raw, Code::Unauthenticated, "request had no valid credential");
        }
    }
    let viewer = channel.with_token(Some(&desk.viewer().await));
    let raw = viewer.call(CREATE, &create(attestation())).await;
    refused(
        &raw,
        Code::PermissionDenied,
        "`token:viewer` lacks the permission `containeranalysis.notes.create`",
    );
    let status = rpc::Status::decode(raw.status.details()).unwrap();
    assert_eq!((status.code, status.message.as_str()), (7, raw.status.message()));
    assert_eq!(
        status.details[0].type_url,
        "type.googleapis.com/google.rpc.ErrorInfo"
    );
    let info = rpc::ErrorInfo::decode(status.details[0].value.as_slice()).unwrap();
    assert_eq!(
        (info.reason.as_str(), info.domain.as_str()),
        ("IAM_PERMISSION_DENIED", "containeranalysis.googleapis.com")
    );
    assert_eq!(info.metadata["permission"], "containeranalysis.notes.create");
    let raw = viewer.call(GET, &get("projects/p/notes/n")).await;
    refused(&raw, Code::NotFound, "`projects/p/notes/n` was not found");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named() {
    let desk = Desk::new().await;
    let channel = Channel::plain(&desk).await;
    let raw = channel
        .call(CREATE, &create(json!({ "shortDescription": "s" })))
        .await;
    refused(&raw, Code::InvalidArgument, "`attestation` is required");
    let status = rpc::Status::decode(raw.status.details()).unwrap();
    let bad = rpc::BadRequest::decode(status.details[0].value.as_slice()).unwrap();
    assert_eq!(bad.field_violations[0].field, "attestation");
    assert_eq!(bad.field_violations[0].description, "is required");

    // A field that no table has, at the top and within.
    let unknown = [create(attestation()), vec![0x7a, 1, b'x']].concat();
    let raw = channel.call(CREATE, &unknown).await;
    refused(
        &raw,
        Code::InvalidArgument,
        "the message has the field number 15, which is not known here",
    );
    let within = [create(json!({})), vec![0x1a, 4, 0xba, 0x06, 1, b'x']].concat();
    let raw = channel.call(CREATE, &within).await;
    refused(
        &raw,
        Code::InvalidArgument,
        "`note`: has the field number 103, which is not known here",
    );
    let status = rpc::Status::decode(raw.status.details()).unwrap();
    let bad = rpc::BadRequest::decode(status.details[0].value.as_slice()).unwrap();
    assert_eq!(bad.field_violations[0].field, "note");

    // A detail of another kind is known by its name.
    let other = [create(json!({})), vec![0x1a, 5, 0x5a, 3, 0x0a, 1, b'1']].concat();
    let raw = channel.call(CREATE, &other).await;
    refused(&raw, Code::InvalidArgument, "`build`: is not kept by this server");

    for (name, message) in [
        ("", "`name` is ``, expected the form `projects/*/notes/*`"),
        (
            "projects/p/occurrences/o",
            "expected the form `projects/*/notes/*`",
        ),
        ("projects/p/notes/../n", "expected the form `projects/*/notes/*`"),
        ("projects/p/notes/a b", "a b"),
    ] {
        refused(
            &channel.call(GET, &get(name)).await,
            Code::InvalidArgument,
            message,
        );
    }
    // A name that would be another method's address over REST.
    let message = kind("google.cloud.binaryauthorization.v1.GetAttestorRequest")
        .encode(
            json!({ "name": "projects/p/attestors/a:getIamPolicy" }),
            Unlisted::Refuse,
        )
        .unwrap();
    let path = "/google.cloud.binaryauthorization.v1.BinauthzManagementServiceV1/GetAttestor";
    refused(
        &channel.call(path, &message).await,
        Code::InvalidArgument,
        "names nothing that `GetAttestor` is about",
    );
}

#[tokio::test]
async fn what_is_not_offered_is_unimplemented() {
    let desk = Desk::new().await;
    let channel = Channel::plain(&desk).await;
    for path in [
        "/grafeas.v1.Grafeas/Nothing",
        "/google.cloud.kms.v1.Nothing/GetKeyRing",
        "/nothing",
        "/",
    ] {
        refused(
            &channel.call(path, &[]).await,
            Code::Unimplemented,
            "is not a method of this server",
        );
    }
    let mut client = kms::key_management_service_client::KeyManagementServiceClient::new(channel.clone());
    let error = client.encrypt(kms::EncryptRequest::default()).await.unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented);
    let packed = [("grpc-encoding", "gzip")];
    let raw = channel
        .call_with(GET, framed(&get("projects/p/notes/n")), &packed)
        .await;
    refused(&raw, Code::Unimplemented, "gzip");
    // The REST API says what it thinks of gRPC's relatives.
    for kind in ["application/grpc-web+proto", "application/grpc+json"] {
        let request = http::Request::post(GET)
            .header("content-type", kind)
            .body(tonic::body::Body::empty());
        assert_eq!(
            channel.send(request.unwrap()).await.unwrap().status(),
            404,
            "{kind}"
        );
    }
}

#[tokio::test]
async fn frames_that_are_none_are_refused() {
    let desk = Desk::new().await;
    let channel = Channel::plain(&desk).await;
    let message = get("projects/p/notes/n");
    let whole = framed(&message);
    let refuses = async |bytes: Vec<u8>| channel.call_with(GET, bytes, &[]).await.status.code() != Code::Ok;
    assert!(refuses(whole[..whole.len() - 1].to_vec()).await, "cut short");
    assert!(refuses(whole[..3].to_vec()).await, "cut in the frame");
    assert!(
        refuses([&[1], &whole[1..]].concat()).await,
        "said to be compressed"
    );
    assert!(
        refuses([&[9], &whole[1..]].concat()).await,
        "with a flag that is none"
    );
    assert!(
        refuses([&[0, 0xff, 0xff, 0xff, 0xff], &message[..]].concat()).await,
        "said to be huge"
    );
    refused(
        &channel.call_with(GET, Vec::new(), &[]).await,
        Code::InvalidArgument,
        "carries no message",
    );
    let huge = framed(&vec![0; (4 << 20) + 1]);
    let raw = channel.call_with(GET, huge, &[]).await;
    refused(
        &raw,
        Code::ResourceExhausted,
        "the message is larger than 4194304 bytes",
    );
    // And it goes on.
    refused(
        &channel.call(GET, &message).await,
        Code::NotFound,
        "was not found",
    );
}

/// A message that never comes.
struct Never;

impl hyper::body::Body for Never {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn a_deadline_is_kept() {
    let desk = Desk::new().await;
    let channel = Channel::plain(&desk).await;
    let soon = [("grpc-timeout", "50m")];
    let raw = channel
        .call_with_body(GET, tonic::body::Body::new(Never), &soon)
        .await;
    refused(&raw, Code::DeadlineExceeded, "before its deadline");
    let later = [("grpc-timeout", "1M")];
    let raw = channel
        .call_with(CREATE, framed(&create(attestation())), &later)
        .await;
    assert_eq!(raw.status.code(), Code::Ok, "{}", raw.status);
    let never = [("grpc-timeout", "soon")];
    let raw = channel
        .call_with(GET, framed(&get("projects/p/notes/n")), &never)
        .await;
    refused(&raw, Code::InvalidArgument, "`grpc-timeout` cannot be read");
}

#[tokio::test]
async fn a_call_leaves_what_it_leaves_over_rest() {
    let desk = Desk::new().await;
    let channel = Channel::plain(&desk).await;
    let raw = channel.call(CREATE, &create(attestation())).await;
    let mut created = kind("grafeas.v1.Note").decode(&raw.message).unwrap();
    // The decoder writes three, six or nine digits of a second, and REST as many as say something.
    for name in ["createTime", "updateTime"] {
        let text = created[name].as_str().unwrap().strip_suffix('Z').unwrap();
        let short = match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.'),
            false => text,
        };
        created[name] = format!("{short}Z").into();
    }
    assert_eq!(
        desk.get("/v1/projects/p/notes/n").await.ok(),
        Value::Object(created)
    );
    let raw = channel
        .call_with(
            CREATE,
            framed(&create(attestation())),
            &[("user-agent", "grpc-test/1")],
        )
        .await;
    refused(&raw, Code::AlreadyExists, "`projects/p/notes/n` already exists");
    let rows = desk.audit(2).await;
    for (row, code) in rows.iter().zip([json!("ALREADY_EXISTS"), json!("OK")]) {
        assert_eq!(row["method"], "containeranalysis.CreateNote", "{row}");
        assert_eq!(row["principal"], "admin", "{row}");
        assert_eq!(row["status"], code, "{row}");
    }
    assert!(rows[0].to_string().contains("grpc-test/1"), "{}", rows[0]);
    let (_, metrics) = desk.health("/metrics").await;
    for outcome in ["done", "refused"] {
        let row = format!(
            "binauthz_api_requests_total{{api=\"containeranalysis\",method=\"CreateNote\",outcome=\"{outcome}\"}} 1\n"
        );
        assert!(metrics.contains(&row), "{row}{metrics}");
    }
}
