//! How the schema comes to be, what is refused, and how TLS proves the database.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use binauthz_store::{Address, Kind, OpenError, Store};

use crate::cluster::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_start_at_once_make_one_schema() {
    let Some(cluster) = Cluster::start(&["fsync = off"]).await else {
        return;
    };
    let database = cluster.database();
    let mut starting = Vec::new();
    for number in 0..6 {
        let address = cluster.address(&database);
        starting.push(tokio::spawn(async move {
            Store::connect(&address, &format!("server-{number}"))
                .await
                .map(drop)
        }));
    }
    for started in starting {
        started.await.unwrap().unwrap();
    }
    let applied = cluster
        .psql(&database, "SELECT number FROM binauthz.schema_migration")
        .unwrap();
    assert_eq!(applied, "1\n2");
}

/// What each earlier release made becomes what this one makes, and keeps what is in it.
#[tokio::test(flavor = "multi_thread")]
async fn every_earlier_schema_grows_into_this_one() {
    const RELEASED: [&str; 1] = [include_str!("../../migrations/postgres/0001_initial.sql")];
    let Some(cluster) = Cluster::start(&["fsync = off"]).await else {
        return;
    };
    let columns = |database: &str| {
        let sql = "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
                   WHERE table_schema = 'binauthz' ORDER BY 1, 2";
        cluster.psql(database, sql).unwrap()
    };
    let now = cluster.database();
    drop(cluster.store(&now, "one").await);
    for known in 1..=RELEASED.len() {
        let database = cluster.database();
        let mut sql = "CREATE SCHEMA binauthz; SET search_path = binauthz;
             CREATE TABLE schema_migration (number BIGINT PRIMARY KEY,
             sha256 BYTEA NOT NULL CHECK (length(sha256) = 32), applied TIMESTAMPTZ NOT NULL);"
            .to_owned();
        for (number, released) in (1..=known).zip(RELEASED) {
            sql.push_str(&format!(
                "{released}; INSERT INTO schema_migration VALUES
                 ({number}, sha256(convert_to($released${released}$released$, 'UTF8')), now());"
            ));
        }
        sql.push_str("UPDATE counter SET revision = 7");
        cluster.psql(&database, &sql).unwrap();
        assert_ne!(columns(&database), columns(&now));
        let store = cluster.store(&database, "one").await;
        assert_eq!(columns(&database), columns(&now), "{known}");
        assert_eq!(store.news(0).await.unwrap().revision, 7);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ours_or_is_newer_is_refused_and_left_alone() {
    let Some(cluster) = Cluster::start(&["fsync = off"]).await else {
        return;
    };
    let refusal = async |prepare: &str| {
        let database = cluster.database();
        drop(cluster.store(&database, "one").await);
        cluster.psql(&database, prepare).unwrap();
        Store::connect(&cluster.address(&database), "one")
            .await
            .unwrap_err()
    };
    let newer = refusal("INSERT INTO binauthz.schema_migration VALUES (3, sha256('x'), now())").await;
    assert_eq!(
        newer.to_string(),
        "the database has schema 3 and this release knows up to schema 2: \
         start the release that wrote it, or a later one"
    );
    let changed = refusal("UPDATE binauthz.schema_migration SET sha256 = sha256('x')").await;
    assert!(matches!(changed, OpenError::Changed { number: 1 }), "{changed}");

    let database = cluster.database();
    cluster
        .psql(
            &database,
            "CREATE SCHEMA binauthz; CREATE TABLE binauthz.theirs (x int)",
        )
        .unwrap();
    let foreign = Store::connect(&cluster.address(&database), "one")
        .await
        .unwrap_err();
    assert!(matches!(foreign, OpenError::ForeignSchema), "{foreign}");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'binauthz'";
    assert_eq!(cluster.psql(&database, tables).unwrap(), "1");

    // An empty schema that somebody made for us is ours.
    let database = cluster.database();
    cluster.psql(&database, "CREATE SCHEMA binauthz").unwrap();
    cluster.store(&database, "one").await;
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named_as_what_is_missing() {
    let Some(cluster) = Cluster::start(&["fsync = off"]).await else {
        return;
    };
    let error = Store::connect(&cluster.address("nowhere"), "one")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
    let gone = tempfile::tempdir().unwrap();
    let folder = gone.path().display().to_string().replace('/', "%2F");
    let address = Address::new(&format!("postgres://binauthz@{folder}/x")).unwrap();
    let error = Store::connect(&address, "one").await.unwrap_err();
    assert!(error.to_string().contains("cannot open the database"), "{error}");
}

/// Certificates for `localhost` by an authority of our own, in the folder of the cluster's data.
fn certificates(cluster: &Cluster) {
    let folder = cluster.folder();
    for command in [
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test-authority \
         -keyout ca.key -out ca.pem",
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout server.key -out server.csr \
         -addext subjectAltName=DNS:localhost",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -copy_extensions copy -out server.pem",
    ] {
        let output = Command::new("openssl")
            .args(command.split_whitespace())
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let owner = std::fs::metadata(folder).unwrap();
    use std::os::unix::fs::MetadataExt as _;
    for name in ["server.key", "server.pem"] {
        let path = folder.join(name);
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_proves_who_the_database_is() {
    let Some(mut cluster) = Cluster::start(&["fsync = off"]).await else {
        return;
    };
    let database = cluster.database();
    certificates(&cluster);
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let folder = cluster.folder().display().to_string();
    for setting in [
        "listen_addresses = 'localhost'".to_owned(),
        format!("port = {port}"),
        "ssl = 'on'".to_owned(),
        format!("ssl_cert_file = '{folder}/server.pem'"),
        format!("ssl_key_file = '{folder}/server.key'"),
    ] {
        cluster
            .psql("postgres", &format!("ALTER SYSTEM SET {setting}"))
            .unwrap();
    }
    cluster.crash();
    cluster.run_on(port).await;
    let open = async |host: &str, parameters: &str| {
        let url = format!("postgres://binauthz@{host}:{port}/{database}{parameters}");
        Store::connect(&Address::new(&url).unwrap(), "one").await
    };
    let trusted = format!("?sslrootcert={folder}/ca.pem");
    let store = open("localhost", &trusted).await.unwrap();
    store.resource(Kind::Policy, "p").await.unwrap();
    let encrypted = "SELECT count(*) > 0 AND bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                     WHERE application_name = 'binauthz'";
    assert_eq!(cluster.psql_on(port, &database, encrypted).unwrap(), "t");
    drop(store);
    // The right name by an authority that nobody trusts, and a trusted certificate of another name.
    for (host, parameters, expected) in [
        ("localhost", "", "certificate"),
        ("127.0.0.1", trusted.as_str(), "certificate"),
    ] {
        let error = open(host, parameters).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{host}{parameters}: {error}");
    }
    open("127.0.0.1", "?sslmode=disable").await.unwrap();
}
