//! What the operator chose: flags, and a strict YAML file beneath them.

mod access;
mod certificate;
mod database;
mod guard;
mod issuers;
mod pkcs11;
mod rates;
mod retention;
mod smtp;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use binauthz_core::name::ClusterName;
use binauthz_registry::Endpoint;
use binauthz_wire::custom_resources::{self, CustomResources};
use serde::Deserialize;

use crate::alert::channel::{Place, Reach};
use crate::googleapis;
use crate::listen::Lifetimes;

pub use access::{Access, BootstrapToken};
pub use certificate::WebhookCertificate;
pub use database::{Database, Staleness};
pub use guard::{GuardedCluster, Guarding};
pub use issuers::{Issuer, PrincipalClaim, Proof};
pub use pkcs11::Pkcs11;
pub use rates::RateLimits;
pub use retention::Retention;
pub use smtp::{Security, Smtp};

/// Two commits for each, some 5 ms on a slow disk: the server is ready a second later at most.
const MAX_CLUSTERS: usize = 64;

/// Why the server cannot be started with these settings.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSettings {
    /// The configuration file is not there or not readable.
    #[error("cannot read the configuration file `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The configuration file has an unknown key or a wrong value.
    #[error("the configuration file `{}` is not valid: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        message: String,
    },
    /// The file of custom resources is not there, or says something that cannot be done.
    #[error("the file of custom resources `{}` cannot be used: {message}", path.display())]
    CustomResources {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        message: String,
    },
    /// `--dev` would offer plain HTTP to other machines.
    #[error("with `--dev` the API speaks plain HTTP, so `{0}` must be a loopback address")]
    NotLoopback(SocketAddr),
    /// The block `pkcs11` says something that cannot be meant.
    #[error("{0}")]
    Pkcs11(String),
    /// Client certificates without TLS.
    #[error(
        "with `--dev` the API speaks plain HTTP, which has no client certificates: leave out `apiClientAuthorities`"
    )]
    NoTls,
    /// The block `smtp` says something that cannot be done.
    #[error("{0}")]
    Smtp(String),
    /// The keys of the webhook's certificate contradict each other.
    #[error("{0}")]
    Certificate(String),
    /// The block `guard` or `--guard` does.
    #[error("{0}")]
    Guard(String),
    /// An entry of `issuers` says something that cannot be done.
    #[error("{0}")]
    Issuers(String),
    /// A place that notices may go to is none.
    #[error("`channelsMayReach` holds `{text}`, {why}")]
    Reach {
        /// What was given.
        text: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The collector's address is none.
    #[error(
        "`otlpEndpoint` must be the address of a collector, `http://HOST:4318` or `https://…`, without credentials or a query"
    )]
    Endpoint,
    /// A registry is not `HOST=URL`.
    #[error("registry `{text}`: {why}")]
    Registry {
        /// What was given.
        text: String,
        /// What is wrong.
        why: String,
    },
    /// A cluster is not named as the API names it.
    #[error("`clusters` holds `{text}`, expected projects/PROJECT/locations/LOCATION/clusters/CLUSTER")]
    Cluster {
        /// What was given.
        text: String,
    },
    /// More clusters than are registered at a start.
    #[error(
        "`clusters` holds {count} names, expected at most {MAX_CLUSTERS}: register the others by the API"
    )]
    Clusters {
        /// How many were given.
        count: usize,
    },
    /// The address of the database.
    #[error("the store cannot be used: {0}")]
    Store(#[from] binauthz_store::InvalidAddress),
    /// A number that makes no sense.
    #[error("`{key}` is {value}, expected {least} to {most}")]
    OutOfRange {
        /// The key in the file.
        key: &'static str,
        /// What was given.
        value: u32,
        /// The least.
        least: u32,
        /// The most.
        most: u32,
    },
}

/// The flags of `binauthz serve`; what is absent comes from the file or the defaults.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Plain HTTP on loopback, any project exists.
    pub dev: bool,
    /// Address of the API.
    pub api_listen: Option<SocketAddr>,
    /// Address of the webhook.
    pub webhook_listen: Option<SocketAddr>,
    /// Address of health and metrics.
    pub health_listen: Option<SocketAddr>,
    /// `HOST=URL` of registries.
    pub registries: Vec<String>,
    /// A project without a policy denies.
    pub require_policy: bool,
    /// Answers under Google's names, too.
    pub googleapis: bool,
    /// Address of the listener under Google's names.
    pub googleapis_listen: Option<SocketAddr>,
    /// The file of custom resources.
    pub custom_resources: Option<PathBuf>,
    /// `CLUSTER` or `CLUSTER=CONTEXT` of clusters to look after.
    pub guard: Vec<String>,
    /// `sqlite`, or the address of a database.
    pub store: Option<String>,
    /// The configuration file.
    pub config: Option<PathBuf>,
}

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct File {
    api_listen: Option<SocketAddr>,
    webhook_listen: Option<SocketAddr>,
    health_listen: Option<SocketAddr>,
    registries: Vec<String>,
    require_policy: bool,
    googleapis: bool,
    googleapis_listen: Option<SocketAddr>,
    warn_only_for_workloads: bool,
    unique_attestor_keys: bool,
    audit_allows_may_wait: bool,
    journal_keep_mebibytes: Option<u32>,
    journal_keep_days: Option<u32>,
    entries_keep_mebibytes: Option<u32>,
    entries_keep_days: Option<u32>,
    server_names: Vec<String>,
    secrets_dir: Option<PathBuf>,
    clusters: Vec<String>,
    webhook_client_authorities: Option<PathBuf>,
    pkcs11: Option<Pkcs11>,
    webhook_secret: Option<String>,
    webhook_certificates: Option<PathBuf>,
    authority_lifetime_seconds: Option<u32>,
    certificate_lifetime_seconds: Option<u32>,
    api_client_authorities: Option<PathBuf>,
    smtp: Option<smtp::Block>,
    channels_may_reach: Vec<String>,
    otlp_endpoint: Option<String>,
    custom_resources: Option<PathBuf>,
    guard: guard::Block,
    store: Option<String>,
    store_max_staleness_seconds: Option<u32>,
    rate_limits: Option<rates::Block>,
    bootstrap_token: Option<BootstrapToken>,
    issuers: Vec<Issuer>,
}

/// Everything the operator chose.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Plain HTTP on loopback, any project exists.
    pub dev: bool,
    /// Address of the API.
    pub api_listen: SocketAddr,
    /// Address of the webhook.
    pub webhook_listen: SocketAddr,
    /// Address of health and metrics.
    pub health_listen: SocketAddr,
    /// Where images of a host are asked.
    pub registries: Vec<Endpoint>,
    /// A project without a policy denies.
    pub require_policy: bool,
    /// Answers under Google's names, too.
    pub googleapis: bool,
    /// Address of the listener under Google's names.
    pub googleapis_listen: SocketAddr,
    /// Workload kinds are warned about, their Pods are denied.
    pub warn_only_for_workloads: bool,
    /// A public key belongs to one attestor; else a second one is warned about.
    pub unique_attestor_keys: bool,
    /// What conforms may be answered before its record is on disk.
    pub audit_allows_may_wait: bool,
    /// How much of the verdict log is kept.
    pub journal_kept: Retention,
    /// How much is kept of the entries that others wrote.
    pub entries_kept: Retention,
    /// Further names of the serving certificate.
    pub server_names: Vec<String>,
    /// Where secrets that somebody else keeps are taken from.
    pub secrets_dir: Option<PathBuf>,
    /// Registered at the start, where they are not.
    pub clusters: Vec<ClusterName>,
    /// Authorities of the certificates that callers of the webhook must show.
    pub webhook_client_authorities: Option<PathBuf>,
    /// What the webhook serves with.
    pub webhook_certificate: WebhookCertificate,
    /// How long certificates of its own last.
    pub lifetimes: Lifetimes,
    /// The mail server that notices are handed to.
    pub smtp: Option<Smtp>,
    /// Where notices may go beside what is public.
    pub channels_may_reach: Reach,
    /// The token that holds private keys.
    pub pkcs11: Option<Pkcs11>,
    /// The collector that traces are sent to, by OTLP over HTTP.
    pub otlp_endpoint: Option<String>,
    /// Where the images of custom resources stand, and the file that says so.
    pub custom_resources: CustomResources,
    /// That file.
    pub custom_resources_file: Option<PathBuf>,
    /// The clusters that are looked after.
    pub guard: Guarding,
    /// Where everything that the API made is kept.
    pub store: Database,
    /// How long decisions are made from memory when a shared store does not answer.
    pub staleness: Staleness,
    /// Who may call the API by what, and how often.
    pub access: Access,
}

impl Settings {
    /// Merges flags, file and defaults.
    ///
    /// # Errors
    /// [`InvalidSettings`] naming what is wrong.
    pub fn new(flags: Flags) -> Result<Self, InvalidSettings> {
        let mut file = match &flags.config {
            Some(path) => read(path)?,
            None => File::default(),
        };
        let api_listen = address(flags.api_listen, file.api_listen, 8787);
        if flags.dev && !api_listen.ip().is_loopback() {
            return Err(InvalidSettings::NotLoopback(api_listen));
        }
        let guard = Guarding::new(std::mem::take(&mut file.guard), flags.guard);
        let guard = guard.map_err(InvalidSettings::Guard)?;
        let access = access(&mut file, flags.dev, &guard)?;
        let registries = file
            .registries
            .iter()
            .chain(&flags.registries)
            .map(|text| registry(text));
        let custom_resources_file = flags.custom_resources.or(file.custom_resources);
        Ok(Self {
            data_dir: flags.data_dir,
            dev: flags.dev,
            api_listen,
            webhook_listen: address(flags.webhook_listen, file.webhook_listen, 8443),
            health_listen: address(flags.health_listen, file.health_listen, 8788),
            registries: registries.collect::<Result<_, _>>()?,
            require_policy: flags.require_policy || file.require_policy,
            googleapis: flags.googleapis || file.googleapis,
            googleapis_listen: address(flags.googleapis_listen, file.googleapis_listen, 8789),
            warn_only_for_workloads: file.warn_only_for_workloads,
            unique_attestor_keys: file.unique_attestor_keys,
            audit_allows_may_wait: file.audit_allows_may_wait,
            journal_kept: Retention::chosen(
                ["journalKeepMebibytes", "journalKeepDays"],
                [file.journal_keep_mebibytes, file.journal_keep_days],
                Retention::VERDICTS,
            )?,
            entries_kept: Retention::chosen(
                ["entriesKeepMebibytes", "entriesKeepDays"],
                [file.entries_keep_mebibytes, file.entries_keep_days],
                Retention::ENTRIES,
            )?,
            server_names: file.server_names,
            secrets_dir: file.secrets_dir,
            clusters: clusters(&file.clusters)?,
            webhook_client_authorities: file.webhook_client_authorities,
            pkcs11: file
                .pkcs11
                .map(Pkcs11::checked)
                .transpose()
                .map_err(InvalidSettings::Pkcs11)?,
            webhook_certificate: WebhookCertificate::chosen(file.webhook_secret, file.webhook_certificates)?,
            lifetimes: certificate::lifetimes(
                file.authority_lifetime_seconds,
                file.certificate_lifetime_seconds,
            )?,
            smtp: file
                .smtp
                .map(|block| Smtp::new(block, flags.dev).map_err(InvalidSettings::Smtp))
                .transpose()?,
            channels_may_reach: reach(&file.channels_may_reach, flags.dev)?,
            otlp_endpoint: file.otlp_endpoint.map(endpoint).transpose()?,
            custom_resources: custom_resources_of(custom_resources_file.as_ref())?,
            custom_resources_file,
            guard,
            store: Database::new(flags.store.or(file.store).as_deref())?,
            staleness: Staleness::new(file.store_max_staleness_seconds)?,
            access,
        })
    }
}

impl Settings {
    /// The names of the serving certificate beside those of loopback: the configured ones, the addresses listened on where
    /// they are addresses of one interface, and Google's where they are answered for.
    pub(crate) fn certificate_names(&self) -> Vec<String> {
        let mut names = self.server_names.clone();
        for listener in [self.api_listen, self.webhook_listen] {
            let name = listener.ip().to_string();
            if !listener.ip().is_unspecified() && !names.contains(&name) {
                names.push(name);
            }
        }
        if self.googleapis {
            names.extend(googleapis::names().map(str::to_owned));
        }
        names
    }
}

/// The settings as they are in effect, one `key: value` a line under the names of the configuration file. There is no
/// secret among them; a registry's credentials, should its address hold any, are left out.
impl fmt::Display for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let registries: Vec<&str> = self.registries.iter().map(Endpoint::host).collect();
        writeln!(formatter, "dataDir: {}", self.data_dir.display())?;
        writeln!(formatter, "dev: {}", self.dev)?;
        writeln!(formatter, "apiListen: {}", self.api_listen)?;
        writeln!(formatter, "webhookListen: {}", self.webhook_listen)?;
        writeln!(formatter, "healthListen: {}", self.health_listen)?;
        writeln!(formatter, "registries: [{}]", registries.join(", "))?;
        writeln!(formatter, "requirePolicy: {}", self.require_policy)?;
        writeln!(formatter, "googleapis: {}", self.googleapis)?;
        writeln!(formatter, "googleapisListen: {}", self.googleapis_listen)?;
        writeln!(
            formatter,
            "warnOnlyForWorkloads: {}",
            self.warn_only_for_workloads
        )?;
        writeln!(formatter, "uniqueAttestorKeys: {}", self.unique_attestor_keys)?;
        writeln!(formatter, "auditAllowsMayWait: {}", self.audit_allows_may_wait)?;
        for (journal, kept) in [("journal", self.journal_kept), ("entries", self.entries_kept)] {
            writeln!(formatter, "{journal}KeepMebibytes: {}", kept.mebibytes)?;
            writeln!(formatter, "{journal}KeepDays: {}", kept.days)?;
        }
        writeln!(formatter, "store: {}", self.store)?;
        writeln!(formatter, "storeMaxStalenessSeconds: {}", self.staleness)?;
        write!(formatter, "{}", self.access)?;
        writeln!(formatter, "serverNames: [{}]", self.server_names.join(", "))?;
        if let Some(path) = &self.secrets_dir {
            writeln!(formatter, "secretsDir: {}", path.display())?;
        }
        let clusters: Vec<String> = self.clusters.iter().map(ClusterName::to_string).collect();
        writeln!(formatter, "clusters: [{}]", clusters.join(", "))?;
        if let Some(path) = &self.webhook_client_authorities {
            writeln!(formatter, "webhookClientAuthorities: {}", path.display())?;
        }
        if let Some(pkcs11) = &self.pkcs11 {
            writeln!(formatter, "pkcs11: {pkcs11}")?;
        }
        write!(formatter, "{}", self.webhook_certificate)?;
        writeln!(
            formatter,
            "authorityLifetimeSeconds: {}",
            self.lifetimes.authority.as_secs()
        )?;
        writeln!(
            formatter,
            "certificateLifetimeSeconds: {}",
            self.lifetimes.serving.as_secs()
        )?;
        if let Some(path) = &self.custom_resources_file {
            writeln!(formatter, "customResources: {}", path.display())?;
        }
        if let Some(smtp) = &self.smtp {
            writeln!(formatter, "smtp: {smtp}")?;
        }
        writeln!(formatter, "channelsMayReach: {}", self.channels_may_reach)?;
        if let Some(endpoint) = &self.otlp_endpoint {
            writeln!(formatter, "otlpEndpoint: {endpoint}")?;
        }
        match self.guard.clusters.is_empty() {
            true => Ok(()),
            false => writeln!(formatter, "guard: {}", self.guard),
        }
    }
}

/// What is named, and with `--dev` this machine.
fn reach(texts: &[String], dev: bool) -> Result<Reach, InvalidSettings> {
    let place = |text: &String| {
        text.parse::<Place>().map_err(|why| InvalidSettings::Reach {
            text: text.clone(),
            why,
        })
    };
    let reach = Reach::new(texts.iter().map(place).collect::<Result<_, _>>()?);
    Ok(if dev { reach.with_this_machine() } else { reach })
}

fn access(file: &mut File, dev: bool, guard: &Guarding) -> Result<Access, InvalidSettings> {
    let access = Access {
        client_authorities: file.api_client_authorities.take(),
        bootstrap_token: BootstrapToken::chosen(file.bootstrap_token, (dev, file.secrets_dir.is_some())),
        issuers: std::mem::take(&mut file.issuers),
        rate_limits: RateLimits::chosen(file.rate_limits, dev)?,
    };
    access.checked(dev, guard)
}

fn clusters(texts: &[String]) -> Result<Vec<ClusterName>, InvalidSettings> {
    if texts.len() > MAX_CLUSTERS {
        return Err(InvalidSettings::Clusters { count: texts.len() });
    }
    let name = |text: &String| {
        text.parse()
            .map_err(|_| InvalidSettings::Cluster { text: text.clone() })
    };
    texts.iter().map(name).collect()
}

/// The base of the collector's addresses. Whatever is a secret in it would be shown with the settings.
fn endpoint(text: String) -> Result<String, InvalidSettings> {
    let url = reqwest::Url::parse(&text).map_err(|_| InvalidSettings::Endpoint)?;
    let is_bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if matches!(url.scheme(), "http" | "https") && url.has_host() && is_bare {
        Ok(text)
    } else {
        Err(InvalidSettings::Endpoint)
    }
}

fn custom_resources_of(path: Option<&PathBuf>) -> Result<CustomResources, InvalidSettings> {
    let Some(path) = path else {
        return Ok(CustomResources::default());
    };
    let unusable = |message: String| InvalidSettings::CustomResources {
        path: path.clone(),
        message,
    };
    let file = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    custom_resources::read(&file).map_err(|error| unusable(error.to_string()))
}

/// Where to listen: the flag wins.
fn address(flag: Option<SocketAddr>, file: Option<SocketAddr>, usual_port: u16) -> SocketAddr {
    flag.or(file).unwrap_or_else(|| loopback(usual_port))
}

/// `HOST=URL`; a password in the URL is not repeated.
fn registry(text: &str) -> Result<Endpoint, InvalidSettings> {
    text.parse::<Endpoint>().map_err(|why| InvalidSettings::Registry {
        text: text.split('@').next_back().unwrap_or_default().to_owned(),
        why: why.to_string(),
    })
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn read(path: &PathBuf) -> Result<File, InvalidSettings> {
    let text = std::fs::read_to_string(path).map_err(|source| InvalidSettings::Read {
        path: path.clone(),
        source,
    })?;
    serde_saphyr::from_str(&text).map_err(|error| InvalidSettings::File {
        path: path.clone(),
        message: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> Flags {
        Flags {
            data_dir: "data".into(),
            dev: true,
            ..Flags::default()
        }
    }

    #[test]
    fn plain_http_stays_on_loopback() {
        let api_listen = Some(SocketAddr::from(([0, 0, 0, 0], 0)));
        assert!(
            Settings::new(Flags {
                api_listen,
                ..flags()
            })
            .is_err()
        );
        assert!(
            Settings::new(Flags {
                api_listen,
                dev: false,
                ..flags()
            })
            .is_ok()
        );
    }

    #[test]
    fn the_file_is_strict_and_flags_win() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("binauthz.yaml");
        std::fs::write(&path, "apiListen: 127.0.0.1:1\nrequirePolicy: true\n").unwrap();
        let settings = Settings::new(Flags {
            config: Some(path.clone()),
            ..flags()
        })
        .unwrap();
        assert!(settings.require_policy && settings.api_listen.port() == 1);
        let api_listen = Some(SocketAddr::from(([127, 0, 0, 1], 2)));
        let settings = Settings::new(Flags {
            config: Some(path.clone()),
            api_listen,
            ..flags()
        })
        .unwrap();
        assert_eq!(settings.api_listen.port(), 2);
        for (text, expected) in [
            ("requirePolici: true\n", "requirePolici"),
            ("requirePolicy: maybe\n", "maybe"),
            ("requirePolicy: true\nrequirePolicy: false\n", "uplicate"),
            ("apiListen: nowhere\n", "socket address"),
            ("auditAllowsMayWait: 5\n", "bool"),
            ("journalKeepDays: -1\n", "u32"),
            ("entriesKeepDays: forever\n", "u32"),
            ("clusters: projects/p\n", "expected"),
            ("- a list\n", "expected"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Settings::new(Flags {
                config: Some(path.clone()),
                ..flags()
            })
            .unwrap_err()
            .to_string();
            assert!(
                error.contains("binauthz.yaml") && error.contains(expected),
                "{text}{error}"
            );
        }
    }

    #[test]
    fn an_empty_file_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("binauthz.yaml");
        for text in ["", "# only a comment\n", "{}\n"] {
            std::fs::write(&path, text).unwrap();
            let settings = Settings::new(Flags {
                config: Some(path.clone()),
                ..flags()
            })
            .unwrap();
            assert_eq!(
                settings.to_string(),
                Settings::new(flags()).unwrap().to_string(),
                "{text:?}"
            );
        }
        std::fs::remove_file(&path).unwrap();
        assert!(
            Settings::new(Flags {
                config: Some(path),
                ..flags()
            })
            .is_err()
        );
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("binauthz.yaml");
        let given = Flags {
            require_policy: true,
            api_listen: Some(loopback(1)),
            ..flags()
        };
        let shown = Settings::new(given).unwrap().to_string();
        let text: String = shown
            .lines()
            .filter(|line| !line.starts_with("d"))
            .map(|line| format!("{line}\n"))
            .collect();
        std::fs::write(&path, text).unwrap();
        assert_eq!(
            Settings::new(Flags {
                config: Some(path),
                ..flags()
            })
            .unwrap()
            .to_string(),
            shown
        );
    }

    /// The reference names every key and its default.
    #[test]
    fn the_reference_is_complete() {
        let reference = include_str!("../../../docs/reference/configuration.md");
        let served = Flags {
            dev: false,
            ..flags()
        };
        let settings = Settings::new(served).unwrap();
        let shown = settings.to_string()
            + "webhookClientAuthorities: none\napiClientAuthorities: none\nissuers: none\npkcs11: none\ncustomResources: none\nsmtp: none\notlpEndpoint: none\n";
        for (key, value) in shown.lines().filter_map(|line| line.split_once(": ")).skip(2) {
            let row = reference
                .lines()
                .find(|line| line.starts_with(&format!("| `{key}` |")));
            let row = row.unwrap_or_else(|| panic!("`{key}` is not in the reference"));
            let default = if value == "[]" { "none" } else { value };
            assert!(
                row.contains(&format!("| {default} |")) || row.contains(&format!("| `{default}` |")),
                "{row}"
            );
        }
    }

    #[test]
    fn the_certificate_names_the_addresses_listened_on() {
        let names = |api: &str, webhook: &str| {
            let settings = Settings {
                api_listen: api.parse().unwrap(),
                webhook_listen: webhook.parse().unwrap(),
                server_names: vec!["binauthz.example".to_owned()],
                ..Settings::new(flags()).unwrap()
            };
            settings.certificate_names()
        };
        assert_eq!(names("0.0.0.0:8787", "[::]:8443"), ["binauthz.example"]);
        let both = ["binauthz.example", "10.0.0.7", "fd00::7"];
        assert_eq!(names("10.0.0.7:8787", "[fd00::7]:8443"), both);
        assert_eq!(names("10.0.0.7:8787", "10.0.0.7:8443"), both[..2]);
    }

    #[test]
    fn the_certificate_names_googles_services_only_where_they_are_answered_for() {
        let names = |googleapis| {
            let settings = Settings {
                googleapis,
                ..Settings::new(flags()).unwrap()
            };
            settings.certificate_names().join(" ")
        };
        assert!(!names(false).contains("googleapis"));
        assert!(
            names(true).contains("logging.googleapis.com") && names(true).contains("oauth2.googleapis.com")
        );
        assert!(!names(true).contains('*'));
    }

    #[test]
    fn declared_clusters_are_named_as_the_api_names_them() {
        let name = "projects/p/locations/l/clusters/c".to_owned();
        assert_eq!(
            clusters(std::slice::from_ref(&name)).unwrap()[0].to_string(),
            name
        );
        for text in [
            "",
            "my-cluster",
            "projects/p/locations/l/clusters/",
            "projects/p/clusters/c",
        ] {
            let error = clusters(&[name.clone(), text.to_owned()])
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(&format!("`{text}`")) && error.contains("LOCATION"),
                "{error}"
            );
        }
        let many: Vec<String> = (0..=MAX_CLUSTERS).map(|n| format!("{name}{n}")).collect();
        assert!(clusters(&many[..MAX_CLUSTERS]).is_ok());
        assert!(clusters(&many).unwrap_err().to_string().contains("65 names"));
    }

    #[test]
    fn a_collector_is_an_address_without_secrets() {
        for good in ["http://127.0.0.1:4318", "https://collector.example.com/otlp/"] {
            assert_eq!(endpoint(good.to_owned()).unwrap(), good);
        }
        for wrong in [
            "",
            "collector:4318",
            "grpc://collector:4317",
            "http://",
            "https://user:password@collector",
            "https://collector/?key=secret",
        ] {
            assert!(endpoint(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_registry_is_a_host_and_a_url() {
        let registries = vec!["nonsense".to_owned()];
        assert!(
            Settings::new(Flags {
                registries,
                ..flags()
            })
            .is_err()
        );
        let registries = vec!["us-central1-docker.pkg.dev=http://127.0.0.1:5000".to_owned()];
        assert_eq!(
            Settings::new(Flags {
                registries,
                ..flags()
            })
            .unwrap()
            .registries
            .len(),
            1
        );
    }
}
