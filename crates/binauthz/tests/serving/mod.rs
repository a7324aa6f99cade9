//! A server as a process of its own, and calls of its API.
#![allow(dead_code, reason = "every test uses its part of this")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

pub(crate) struct Server {
    pub(crate) process: Child,
    pub(crate) api: String,
    token: String,
}

pub(crate) fn serve(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_binauthz"));
    command.args(["serve", "--dev", "--data-dir"]).arg(folder);
    for port in ["--api-listen", "--webhook-listen", "--health-listen"] {
        command.args([port, "127.0.0.1:0"]);
    }
    command
}

/// Starts a server and waits until it says that it is ready.
pub(crate) fn start(folder: &Path) -> Server {
    start_by(folder, &mut serve(folder)).0
}

/// The same with flags of one's own; also what was logged until then.
pub(crate) fn start_by(folder: &Path, command: &mut Command) -> (Server, String) {
    let mut process = command
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut log = BufReader::new(process.stderr.take().expect("its log"));
    let mut text = String::new();
    while !text.contains("\"ready\"") {
        assert_ne!(
            log.read_line(&mut text).expect("its log"),
            0,
            "it ended before it was ready"
        );
    }
    // Nobody reads on: the few lines that follow fit into the pipe.
    process.stderr = Some(log.into_inner());
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a file of the data directory");
    let addresses = read("addresses.json");
    let (_, rest) = addresses
        .split_once("\"api\":\"")
        .and_then(|(_, url)| url.split_once("://"))
        .expect("the API's address");
    let api = rest.split('"').next().expect("the API's address").to_owned();
    let token = read("admin.token").trim().to_owned();
    (Server { process, api, token }, text)
}

impl Server {
    /// The status line and the rest of an answer.
    pub(crate) fn call(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = self.ask(method, path, body);
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// A request that is on its way; nobody waits for the answer yet.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.api).expect("the API's port");
        let token = &self.token;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .expect("a request");
        stream
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([name, &self.process.id().to_string()])
            .status()
            .expect("kill");
        assert!(status.success());
    }

    pub(crate) fn wait(self) -> Output {
        self.process.wait_with_output().expect("the process")
    }
}
