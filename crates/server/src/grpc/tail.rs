//! `TailLogEntries`: entries as they come, to a client that keeps listening. The one method that is no call of the REST
//! API, where it has no form: who may list entries may follow them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use binauthz_core::time::UnixTime;
use binauthz_wire::json::Limits;
use binauthz_wire::proto::{MessageType, Unlisted};
use binauthz_wire::status::Code;
use bytes::Bytes;
use http::{Extensions, HeaderMap, Request, Response};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::server::{Grpc, StreamingService};
use tonic::{Status, Streaming};

use super::{frame, known};
use crate::app::App;
use crate::control::entry::Entry;
use crate::control::error::ApiError;
use crate::control::{may_read, tailed};
use crate::logs::{Follower, Journals, Needle, Reached, Wanted};

pub(super) const PATH: &str = "/google.logging.v2.LoggingServiceV2/TailLogEntries";
const PACKAGE: &str = "google.logging.v2";
/// From one look at the journals to the next.
const PAUSE: Duration = Duration::from_millis(250);
/// From one look at whether the caller may still listen to the next.
const RECHECK: Duration = Duration::from_secs(5);
/// Entries held back for the window and for a slow client: 20 sessions × 8 MiB of JSON, perhaps three times that in memory.
/// What comes beyond is counted and left out, as at Google.
const MOST_HELD: usize = 4_000;
const MOST_HELD_BYTES: usize = 8 << 20;
/// What one message holds: below the 4 MiB that a client takes.
const MESSAGE_ENTRIES: usize = 500;
const MESSAGE_BYTES: usize = 2 << 20;

/// Answers one call. The session goes on when this has returned, until client, caller's right or server is gone.
pub(super) async fn handle(app: &Arc<App>, request: Request<Incoming>) -> Response<Body> {
    let mut entry = Entry::new(app).from(request.extensions());
    entry.is_about("logging", "TailLogEntries");
    let listen = Listen {
        app: Arc::clone(app),
        headers: request.headers().clone(),
        extensions: request.extensions().clone(),
    };
    let response = match listen.check(&entry).await {
        Ok(_) => {
            let request = request.map(Body::new);
            Grpc::new(frame::Raw)
                .max_decoding_message_size(Limits::API.bytes)
                .streaming(Service(Some(listen)), request)
                .await
        }
        Err(error) => frame::failure(&error),
    };
    let outcome = super::outcome(&response);
    entry.count(app, outcome);
    response
}

/// Who listens.
struct Listen {
    app: Arc<App>,
    headers: HeaderMap,
    extensions: Extensions,
}

impl Listen {
    /// A place among those who listen. For a caller who may: whoever may not keeps nobody from listening.
    fn place(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        Arc::clone(&self.app.tails).try_acquire_owned().map_err(|_| {
            ApiError::new(
                Code::ResourceExhausted,
                format!("{} sessions are open, and no more are taken", crate::app::TAILS),
            )
        })
    }

    /// The call once more, for another look at who makes it.
    fn again(&self) -> Entry {
        Entry::new(&self.app).from(&self.extensions)
    }

    async fn check(&self, entry: &Entry) -> Result<crate::auth::Caller, ApiError> {
        entry.caller(&self.app, &self.headers).await
    }

    /// Reads the one message that the client sends.
    async fn begin(self, mut messages: Streaming<Bytes>) -> Result<Opened, ApiError> {
        let first = tokio::time::timeout(frame::MESSAGE_WAIT, messages.message()).await;
        let message = match first {
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None)) => {
                return Err(ApiError::invalid_argument(
                    "the call carries no message, expected one",
                ));
            }
            Ok(Err(status)) => return Err(ApiError::invalid_argument(status.message().to_owned())),
            Err(_) => {
                let why = format!("no message arrived within {} s", frame::MESSAGE_WAIT.as_secs());
                return Err(ApiError::new(Code::DeadlineExceeded, why));
            }
        };
        let request = known(&format!("{PACKAGE}.TailLogEntriesRequest"))?;
        let caller = self.check(&self.again()).await?;
        let asked = tailed(&self.app, &caller, Value::Object(request.decode(&message)?)).await?;
        let permit = self.place()?;
        let projects = asked.wanted.projects.clone();
        let (sender, receiver) = mpsc::channel(1);
        let session = Session {
            reply: known(&format!("{PACKAGE}.TailLogEntriesResponse"))?,
            feed: Some(Box::new(Feed {
                needle: Needle::of(&asked.wanted.projects, &asked.wanted.query),
                wanted: asked.wanted,
                follower: Follower::new(&Journals::of(&self.app), Reached::ends(&self.app)),
                held: Held::default(),
            })),
            checked: Instant::now(),
            listen: self,
            window: asked.window,
            projects,
            sender,
            _permit: permit,
        };
        tokio::spawn(session.run(messages));
        Ok(ReceiverStream::new(receiver))
    }
}

type Opened = ReceiverStream<Result<Bytes, Status>>;

/// In the form tonic wants.
struct Service(Option<Listen>);

impl StreamingService<Bytes> for Service {
    type Response = Bytes;
    type ResponseStream = Opened;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<tonic::Response<Opened>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<Streaming<Bytes>>) -> Self::Future {
        let taken = self.0.take();
        Box::pin(async move {
            // tonic asks once.
            let Some(listen) = taken else {
                return Err(Status::internal("the call was made twice"));
            };
            let opened = listen.begin(request.into_inner()).await;
            opened
                .map(tonic::Response::new)
                .map_err(|error| frame::status(&error))
        })
    }
}

/// One client that listens.
struct Session {
    listen: Listen,
    /// How long entries are held back.
    window: Duration,
    /// The projects whose entries are read.
    projects: Vec<String>,
    /// There but while a thread has it.
    feed: Option<Box<Feed>>,
    reply: MessageType,
    sender: mpsc::Sender<Result<Bytes, Status>>,
    checked: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Session {
    async fn run(mut self, mut messages: Streaming<Bytes>) {
        let mut clock = tokio::time::interval(PAUSE);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut is_asking = true;
        loop {
            tokio::select! {
                () = self.sender.closed() => return,
                _ = clock.tick() => {}
                // A client that has said everything goes on listening.
                more = messages.message(), if is_asking => match more {
                    Ok(None) => is_asking = false,
                    Ok(Some(_)) => {
                        let why = ApiError::invalid_argument("a session takes one message, and this is another one");
                        return self.end(&why).await;
                    }
                    Err(_) => return,
                },
            }
            if let Err(error) = self.step().await {
                return self.end(&error).await;
            }
        }
    }

    async fn end(&self, error: &ApiError) {
        // The client may be gone, or never read: then nobody is to be told.
        let told = self.sender.send(Err(frame::status(error)));
        let _ = tokio::time::timeout(Duration::from_secs(1), told).await;
    }

    async fn step(&mut self) -> Result<(), ApiError> {
        if self.listen.app.tails.is_closed() {
            return Err(ApiError::unavailable("the server is shutting down; try again"));
        }
        if self.checked.elapsed() >= RECHECK {
            let entry = self.listen.again();
            let caller = self.listen.check(&entry).await?;
            may_read(&self.listen.app, &caller, &self.projects, entry.now()).await?;
            self.checked = Instant::now();
        }
        self.read().await?;
        let now = (self.listen.app.clock)();
        let window = i64::try_from(self.window.as_micros()).unwrap_or(i64::MAX);
        let ripe = UnixTime::from_micros(now.as_micros().saturating_sub(window));
        while let Ok(place) = self.sender.try_reserve() {
            let reply = self.feed.as_mut().and_then(|feed| feed.held.message(ripe));
            let Some(reply) = reply else {
                break;
            };
            let bytes = self.reply.encode(reply, Unlisted::Skip).map_err(|error| {
                tracing::error!(%error, "followed entries do not fit their message");
                ApiError::new(Code::Internal, "internal error; see the server's log")
            })?;
            place.send(Ok(bytes.into()));
        }
        Ok(())
    }

    /// Takes what has come since.
    async fn read(&mut self) -> Result<(), ApiError> {
        let ends = Reached::ends(&self.listen.app);
        let unreadable = || ApiError::unavailable("the journal cannot be read; try again");
        let mut feed = self.feed.take().ok_or_else(unreadable)?;
        if feed.follower.is_behind(ends) {
            let read = tokio::task::spawn_blocking(move || {
                feed.read(ends)?;
                Ok::<_, io::Error>(feed)
            });
            feed = match read.await {
                Ok(Ok(feed)) => feed,
                Ok(Err(_)) | Err(_) => return Err(unreadable()),
            };
        }
        self.feed = Some(feed);
        Ok(())
    }
}

/// What is read for a client.
struct Feed {
    wanted: Arc<Wanted>,
    needle: Needle,
    follower: Follower,
    held: Held,
}

impl Feed {
    /// Takes the next entries before `ends`. Blocks on the disk.
    fn read(&mut self, ends: Reached) -> io::Result<()> {
        self.follower.look(&self.needle, ends)?;
        while let Some(found) = self.follower.next() {
            for (_, entry) in self.wanted.entries(found.seen(), &self.needle) {
                self.held.add(found.arrival, entry);
            }
        }
        Ok(())
    }
}

/// Entries that wait for the window, or for a client that is slow.
#[derive(Debug, Default)]
struct Held {
    entries: Vec<(UnixTime, Value, usize)>,
    bytes: usize,
    /// How many were left out since the client was last told.
    suppressed: i32,
}

impl Held {
    fn add(&mut self, arrival: UnixTime, entry: Value) {
        let size = entry.to_string().len();
        if self.entries.len() >= MOST_HELD || self.bytes + size > MOST_HELD_BYTES {
            self.suppressed = self.suppressed.saturating_add(1);
            return;
        }
        self.bytes += size;
        self.entries.push((arrival, entry, size));
    }

    /// The next message, of entries that came up to then, in the order of their times.
    fn message(&mut self, ripe: UnixTime) -> Option<Value> {
        let (mut ready, mut bytes) = (0, 0);
        for (arrival, _, size) in &self.entries {
            if *arrival > ripe || ready == MESSAGE_ENTRIES || (ready > 0 && bytes + size > MESSAGE_BYTES) {
                break;
            }
            ready += 1;
            bytes += size;
        }
        if ready == 0 && self.suppressed == 0 {
            return None;
        }
        self.bytes -= bytes;
        let mut entries: Vec<Value> = self.entries.drain(..ready).map(|(_, entry, _)| entry).collect();
        entries.sort_by(|one, other| one["timestamp"].as_str().cmp(&other["timestamp"].as_str()));
        let mut reply = json!({ "entries": entries });
        let suppressed = std::mem::take(&mut self.suppressed);
        if suppressed > 0 {
            reply["suppressionInfo"] = json!([{ "reason": "NOT_CONSUMED", "suppressedCount": suppressed }]);
        }
        Some(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str, time: &str) -> Value {
        json!({ "textPayload": text, "timestamp": time })
    }

    fn at(seconds: i64) -> UnixTime {
        UnixTime::from_seconds(seconds)
    }

    #[test]
    fn entries_wait_for_the_window_and_come_in_order() {
        let mut held = Held::default();
        assert_eq!(held.message(at(9)), None);
        held.add(at(1), entry("b", "2026-01-01T00:00:02Z"));
        held.add(at(2), entry("a", "2026-01-01T00:00:01Z"));
        held.add(at(5), entry("c", "2026-01-01T00:00:00Z"));
        assert_eq!(held.message(at(0)), None);
        let message = held.message(at(4)).unwrap();
        let texts: Vec<&Value> = message["entries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| &entry["textPayload"])
            .collect();
        assert_eq!(texts, ["a", "b"]);
        assert!(message.get("suppressionInfo").is_none());
        assert_eq!(held.message(at(4)), None);
        assert_eq!(held.message(at(5)).unwrap()["entries"][0]["textPayload"], "c");
        assert_eq!((held.entries.len(), held.bytes), (0, 0));
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut held = Held::default();
        for _ in 0..MOST_HELD + 3 {
            held.add(at(1), entry("x", "2026-01-01T00:00:00Z"));
        }
        let first = held.message(at(1)).unwrap();
        assert_eq!(first["entries"].as_array().unwrap().len(), MESSAGE_ENTRIES);
        assert_eq!(
            first["suppressionInfo"],
            json!([{ "reason": "NOT_CONSUMED", "suppressedCount": 3 }])
        );
        assert!(
            held.message(at(1)).unwrap().get("suppressionInfo").is_none(),
            "told once"
        );
        let mut large = Held::default();
        let text = "x".repeat(256 << 10);
        for _ in 0..40 {
            large.add(at(1), entry(&text, "2026-01-01T00:00:00Z"));
        }
        assert!(large.bytes <= MOST_HELD_BYTES && large.suppressed > 0);
        let message = large.message(at(1)).unwrap();
        assert!(
            message.to_string().len() <= MESSAGE_BYTES + 1_024,
            "{}",
            message.to_string().len()
        );
    }
}
