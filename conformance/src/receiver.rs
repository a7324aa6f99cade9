//! Somebody who is told of alerts: a webhook on a free port that remembers what came.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::server::poll_until;

/// A notice as it came.
#[derive(Debug, Clone)]
pub struct Notice {
    /// `X-Binauthz-Delivery`
    pub delivery: String,
    /// The body.
    pub body: Value,
}

/// A receiver; it listens until the process ends.
pub struct Receiver {
    /// Where it listens.
    pub url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    got: Vec<Notice>,
    is_mute: bool,
}

impl Receiver {
    /// Listens on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let state = Arc::new(Mutex::new(State::default()));
        let kept = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || take(stream, &kept));
            }
        });
        Self {
            url: format!("http://{address}/hook"),
            state,
        }
    }

    /// From now on it takes notices and does not answer.
    pub fn mute(&self, is_mute: bool) {
        self.lock().is_mute = is_mute;
    }

    /// What came so far.
    pub fn notices(&self) -> Vec<Notice> {
        self.lock().got.clone()
    }

    /// What came of a project, once there are so many; none if that takes longer than `limit`.
    pub fn of_project(&self, project: &str, count: usize, limit: Duration) -> Option<Vec<Notice>> {
        poll_until(limit, || {
            let its = |notice: &Notice| notice.body["incident"]["scoping_project_id"] == project;
            let found: Vec<Notice> = self.notices().into_iter().filter(its).collect();
            (found.len() >= count).then_some(found)
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with the lock")
    }
}

/// One connection: request after request.
fn take(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    while let Some(notice) = read(&mut reader) {
        let is_mute = {
            let mut state = state.lock().expect("no test panics with the lock");
            state.got.push(notice);
            state.is_mute
        };
        if is_mute {
            // The other side hangs up.
            let _ = reader.read_to_end(&mut Vec::new());
            return;
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        if reader.get_mut().write_all(answer).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Notice> {
    let (mut delivery, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim_end().is_empty() {
            break;
        }
        let (name, value) = line.trim_end().split_once(": ").unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "x-binauthz-delivery" => value.clone_into(&mut delivery),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Notice {
        delivery,
        body: serde_json::from_slice(&body).ok()?,
    })
}
