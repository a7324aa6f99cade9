//! A real Kubernetes API server with its controllers, one for all tests of a process, and one test at a time: webhook
//! configurations are of the whole cluster.
//!
//! The programs are those of `KUBEBUILDER_ASSETS` (`conformance/kubernetes/build` makes them). Where
//! `BINAUTHZ_TEST_KUBECONFIG` names the kubeconfig of another cluster, that one is used: its contexts must be
//! `my-cluster` and `alice` as in `conformance/kubernetes/cluster.sh`, and its API server must reach this machine's
//! loopback. It is not `KUBECONFIG`, which may name a cluster that somebody needs.

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::Desk;
use crate::server::poll_until;
use crate::shell::Shell;
use crate::tools;

/// The context of the administrator.
pub const CONTEXT: &str = "my-cluster";
/// Who deploys; as a context, `alice`.
pub const USER: &str = "alice@example.com";

/// A start takes some ten seconds; the machine may be busy with other tests.
const START_LIMIT: Duration = Duration::from_secs(180);
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/kubernetes/cluster.sh");

/// The cluster for one test. Dropping it removes the webhooks and lets the next test have it.
pub struct Cluster {
    shared: Arc<Shared>,
    _turn: MutexGuard<'static, ()>,
}

struct Shared {
    kubeconfig: PathBuf,
    kubectl_folder: Option<PathBuf>,
    /// None where the cluster is another one.
    script: Option<Script>,
}

/// What keeps the cluster running.
struct Script {
    /// Where it puts what it has done.
    folder: PathBuf,
    /// It ends when this is closed, which it is when this process ends, however it ends.
    orders: Mutex<ChildStdin>,
    _program: Child,
}

impl Cluster {
    /// Waits for the cluster; none, with a line that says so, if it cannot be had on this machine.
    pub fn take() -> Option<Self> {
        static SHARED: OnceLock<Arc<Shared>> = OnceLock::new();
        let turn = turn()?;
        Some(Self {
            shared: Arc::clone(SHARED.get_or_init(|| Arc::new(Shared::start(&[])))),
            _turn: turn,
        })
    }

    /// A cluster for one test alone, whose API server gets further flags; its files must be there by now. There is none
    /// where the tests use the cluster of somebody else.
    pub fn with_flags(flags: &[String]) -> Option<Self> {
        if std::env::var_os("BINAUTHZ_TEST_KUBECONFIG").is_some() {
            return None;
        }
        let turn = turn()?;
        Some(Self {
            shared: Arc::new(Shared::start(flags)),
            _turn: turn,
        })
    }

    /// The kubeconfig of the administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.shared.kubeconfig
    }

    /// Kills the API server and waits until it is ready again, with nothing in its memory. False, with a line that says
    /// so, where it is not ours to kill.
    pub fn restart_api_server(&self) -> bool {
        self.order("restart", "")
    }

    /// Starts one more API server of the cluster, with further flags; its port. None where the cluster is not ours.
    pub fn another_api_server(&self, flags: &str) -> Option<u16> {
        let [port, ..] = free_ports();
        self.order("beside", &format!(" {port} {flags}")).then_some(port)
    }

    fn order(&self, order: &str, others: &str) -> bool {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Some(script) = &self.shared.script else {
            return tools::needs(&["a cluster of the tests' own"]);
        };
        let name = format!("{order}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let mut orders = script.orders.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(orders, "{order} {name}{others}").expect("the cluster's script listens");
        let done = script.folder.join(&name);
        poll_until(START_LIMIT, || done.exists().then_some(()))
            .unwrap_or_else(|| panic!("the API server did not come up within {START_LIMIT:?}"));
        true
    }

    /// The authority of the certificate that the API server shows to webhooks, which speaks for the tutorial's cluster;
    /// none in a cluster of somebody else.
    pub fn callers(&self) -> Option<PathBuf> {
        let file = self.shared.kubeconfig.with_file_name("callers.pem");
        file.exists().then_some(file)
    }

    /// A shell of the administrator, for what has to be there before a server.
    pub fn administrator(&self, folder: &Path) -> Shell {
        let mut shell = Shell::new(folder);
        self.shared.use_in(&mut shell, &self.shared.kubeconfig);
        shell
    }

    /// Gives a desk a namespace of its own, in which its `kubectl` works: as the administrator unless it says
    /// `--context alice`. Returns its name.
    pub fn attach(&self, desk: &mut Desk) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("test-{}-{count}", std::process::id());
        let kubeconfig = desk.folder().join("kubeconfig");
        std::fs::copy(&self.shared.kubeconfig, &kubeconfig).expect("the kubeconfig can be copied");
        self.shared.use_in(&mut desk.shell, &kubeconfig);
        desk.ok(&format!(
            "kubectl create namespace {namespace}
             kubectl config set-context {CONTEXT} --namespace={namespace}
             kubectl config set-context alice --namespace={namespace}
             kubectl config use-context {CONTEXT}
             for i in $(seq 300); do kubectl get serviceaccount default && exit; sleep 0.1; done; exit 1"
        ));
        namespace
    }

    /// Starts something of Kubernetes in the background of no test: what the controllers did about it is asked for
    /// again and again until `script` ends well.
    #[track_caller]
    pub fn eventually(desk: &Desk, script: &str) -> crate::Ran {
        let mut last = None;
        let found = poll_until(Duration::from_secs(60), || {
            let ran = desk.sh(script);
            let good = (ran.code == Some(0)).then(|| ran.clone());
            last = Some(ran);
            good
        });
        found.unwrap_or_else(|| {
            panic!(
                "never came: {}",
                last.map_or_else(String::new, |ran| ran.to_string())
            )
        })
    }
}

/// One test at a time has a cluster.
fn turn() -> Option<MutexGuard<'static, ()>> {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed has cleaned up, too.
    let turn = || TURN.lock().unwrap_or_else(PoisonError::into_inner);
    tools::needs(&["kube-apiserver", "openssl"]).then(turn)
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut shell = Shell::new(Path::new("/"));
        self.shared.use_in(&mut shell, &self.shared.kubeconfig);
        let kinds = "validatingwebhookconfigurations,mutatingwebhookconfigurations";
        let ran = shell.run(&format!(
            "kubectl delete {kinds} --ignore-not-found -l app.kubernetes.io/managed-by=binauthz"
        ));
        assert!(
            ran.code == Some(0) || std::thread::panicking(),
            "the webhooks are gone: {ran}"
        );
    }
}

impl Shared {
    fn start(flags: &[String]) -> Self {
        if let Some(kubeconfig) = std::env::var_os("BINAUTHZ_TEST_KUBECONFIG") {
            return Self {
                kubeconfig: PathBuf::from(kubeconfig),
                kubectl_folder: tools::kubernetes(),
                script: None,
            };
        }
        let assets = tools::kubernetes().expect("the test was skipped where they are not");
        // The script removes it: nothing of this process outlives the process.
        let folder = tempfile::tempdir()
            .expect("a temporary folder can be made")
            .keep();
        let mut script = Command::new("bash")
            .arg(SCRIPT)
            .arg(&folder)
            .args(free_ports().map(|port| port.to_string()))
            .args(flags)
            .env("KUBEBUILDER_ASSETS", &assets)
            .stdin(Stdio::piped())
            .spawn()
            .expect("bash starts");
        let ready = folder.join("ready");
        let started = poll_until(START_LIMIT, || match script.try_wait() {
            Ok(None) => ready.exists().then_some(true),
            _ => Some(false),
        });
        assert!(
            started == Some(true),
            "the cluster did not start, as it says above"
        );
        let orders = script.stdin.take().expect("it was piped");
        Self {
            kubeconfig: folder.join("kubeconfig"),
            kubectl_folder: Some(assets),
            script: Some(Script {
                folder,
                orders: Mutex::new(orders),
                _program: script,
            }),
        }
    }

    fn use_in(&self, shell: &mut Shell, kubeconfig: &Path) {
        shell.set("KUBECONFIG", kubeconfig.display().to_string());
        // What it learned about this cluster is of no use to another at the same port.
        let cache = kubeconfig.with_file_name("kubectl-cache");
        shell.set("KUBECACHEDIR", cache.display().to_string());
        for folder in self.kubectl_folder.iter().chain(&tools::helm()) {
            let path = shell.variable("PATH").map(str::to_owned);
            let path = path.or_else(|| std::env::var("PATH").ok()).unwrap_or_default();
            shell.set("PATH", format!("{}:{path}", folder.display()));
        }
    }
}

/// Ports that were free a moment ago: neither etcd nor kube-apiserver says which one it took of its own.
fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port is free"));
    listeners
        .each_ref()
        .map(|listener| listener.local_addr().expect("it has an address").port())
}
