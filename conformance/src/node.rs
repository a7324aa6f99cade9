//! The node that the cluster of the tests has not: it runs the server of one Deployment, and reports its Pod as ready.

use std::net::TcpListener;

use crate::Desk;
use crate::shell::Shell;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/kubernetes/node.sh");

/// A node for the Deployment `binauthz` of one namespace. Dropping it ends the server it runs.
pub struct Node {
    shell: Shell,
    has_power: bool,
    /// Base URL of the API of the server on it, once that runs.
    pub api: String,
}

impl Node {
    /// Starts to play it, in the folder `node` of the desk; the Deployment may come later.
    pub fn start(desk: &Desk, namespace: &str) -> Self {
        // A port that was free a moment ago: it must be the same for every Pod, as that of a Service is.
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let api = listener.local_addr().expect("it has an address");
        drop(listener);
        let process = std::process::id();
        desk.ok(&format!(
            "{SCRIPT} {namespace} binauthz \"$PWD/node\" {process} {api} >node.log 2>&1 & echo $! >node.pid"
        ));
        Self {
            shell: desk.shell.clone(),
            has_power: true,
            api: format!("https://{api}"),
        }
    }

    /// Cuts its power: its server ends at once, and its Pod goes on being reported as ready.
    pub fn cut_power(mut self) {
        self.has_power = false;
        self.shell
            .run("kill -KILL \"$(cat node.pid)\" \"$(cat node/pid)\"")
            .ok();
    }

    /// Flags with which `binauthz` speaks to the server on it, as the administrator.
    pub fn flags(&self) -> String {
        let data = "node/var/lib/binauthz/data";
        format!(
            "--server={} --ca-file={data}/webhook-ca.pem --token-file={data}/admin.token",
            self.api
        )
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if !self.has_power {
            return;
        }
        let ended = "pid=$(cat node.pid); kill $pid; while kill -0 $pid 2>/dev/null; do sleep 0.1; done";
        let ran = self.shell.run(ended);
        if std::thread::panicking() {
            let logs = self.shell.run("tail -n 20 node.log node/log");
            #[expect(
                clippy::print_stderr,
                reason = "captured by the test harness and shown with the failure"
            )]
            {
                eprintln!("--- the node's last words:\n{logs}");
            }
        } else {
            ran.ok();
        }
    }
}
