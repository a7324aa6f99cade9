//! Which programs are here, and what it means if one is not.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Whether every program in `names` can be started. If one cannot, says `SKIPPED (needs NAME)`; where
/// `BINAUTHZ_REQUIRE_ALL=1` a missing program fails the test instead, unless `BINAUTHZ_WITHOUT` names it.
pub fn needs(names: &[&str]) -> bool {
    let Some(missing) = names.iter().find(|name| find(name).is_none()) else {
        return true;
    };
    let required = std::env::var("BINAUTHZ_REQUIRE_ALL").is_ok_and(|value| value == "1");
    let excused = std::env::var("BINAUTHZ_WITHOUT").unwrap_or_default();
    let is_excused = excused.split(',').any(|name| name == *missing);
    assert!(
        !required || is_excused,
        "this test needs `{missing}` and BINAUTHZ_REQUIRE_ALL=1 is set"
    );
    skip(missing);
    false
}

fn skip(missing: &str) {
    let test = std::thread::current().name().unwrap_or("test").to_owned();
    // Not `println!`: the harness would swallow the line of a test that passes.
    let _ = writeln!(std::io::stdout(), "SKIPPED (needs {missing}): {test}");
}

fn find(name: &str) -> Option<PathBuf> {
    match name {
        "python-clients" => return python(),
        "schemathesis" => return schemathesis(),
        "oidc-provider-mock" => return openid_provider(),
        "PostgreSQL" => return postgresql(),
        "kube-apiserver" => {
            let other = std::env::var_os("BINAUTHZ_TEST_KUBECONFIG").map(PathBuf::from);
            return other.or_else(kubernetes);
        }
        "helm" => {
            let built = helm().map(|folder| folder.join(name));
            return built.or_else(|| on_path(name));
        }
        _ => {}
    }
    on_path(name)
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// A Python that has Google's client libraries: `BINAUTHZ_PYTHON`, or the environment that `.ci/run` makes.
pub fn python() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("BINAUTHZ_PYTHON") {
        return Some(PathBuf::from(named));
    }
    Some(cache()?.join("venv/bin/python")).filter(|file| file.is_file())
}

/// What tries an API by its own description; it lies beside that Python.
pub fn schemathesis() -> Option<PathBuf> {
    python()
        .map(|python| python.with_file_name("schemathesis"))
        .filter(|file| file.is_file())
}

/// An OpenID provider of others; it lies there, too.
pub fn openid_provider() -> Option<PathBuf> {
    python()
        .map(|python| python.with_file_name("oidc-provider-mock"))
        .filter(|file| file.is_file())
}

/// The folder of kube-apiserver, etcd and kubectl: `KUBEBUILDER_ASSETS`, or what `conformance/kubernetes/build` made in
/// the cache.
pub fn kubernetes() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("KUBEBUILDER_ASSETS") {
        return Some(PathBuf::from(named));
    }
    built("kubernetes-", &["kube-apiserver", "etcd"])
}

/// The folder of helm that `conformance/helm/build` made in the cache.
pub fn helm() -> Option<PathBuf> {
    built("helm-", &["helm"])
}

/// The newest folder in the cache whose name begins like this and that has these programs.
fn built(prefix: &str, programs: &[&str]) -> Option<PathBuf> {
    let folders = std::fs::read_dir(cache()?).ok()?.filter_map(Result::ok);
    let mut folders: Vec<PathBuf> = folders
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .filter(|folder| programs.iter().all(|program| folder.join(program).is_file()))
        .collect();
    folders.sort();
    folders.pop()
}

/// The folder of `initdb`, `postgres` and `psql`: where Debian keeps those of the newest release, or where the search path
/// has them.
pub fn postgresql() -> Option<PathBuf> {
    let releases = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut folders: Vec<PathBuf> = releases
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|folder| folder.join("initdb").is_file())
        .collect();
    folders.sort();
    let searched = || find("initdb")?.parent().map(Path::to_owned);
    folders.pop().or_else(searched)
}

fn cache() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("BINAUTHZ_CACHE") {
        return Some(PathBuf::from(named));
    }
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")))?;
    Some(base.join("binauthz"))
}

/// The program under test: `BINAUTHZ_BIN`, or the one beside this test's own executable. `cargo test --workspace`
/// builds it; `cargo test -p binauthz-conformance` alone does not, so it is built here if it is missing.
pub fn binauthz() -> PathBuf {
    if let Some(named) = std::env::var_os("BINAUTHZ_BIN") {
        return PathBuf::from(named);
    }
    let test = std::env::current_exe().expect("the test knows its own path");
    let profile = test
        .parent()
        .and_then(Path::parent)
        .expect("tests lie in target/PROFILE/deps");
    let program = profile.join("binauthz");
    if !program.is_file() {
        build(profile.file_name().is_some_and(|name| name == "release"));
    }
    program
}

fn build(release: bool) {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo
        .args(["build", "--quiet", "--package", "binauthz"])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if release {
        cargo.arg("--release");
    }
    assert!(
        cargo.status().expect("cargo starts").success(),
        "`binauthz` does not build"
    );
}
