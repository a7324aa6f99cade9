//! The engine passes the acceptance suite, on a file and in memory.

use binauthz_store::{Store, acceptance};

#[tokio::test]
async fn a_file_passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    let number = std::cell::Cell::new(0);
    acceptance::suite(async || {
        number.set(number.get() + 1);
        Store::open(&folder.path().join(format!("{}.db", number.get()))).unwrap()
    })
    .await;
}

#[tokio::test]
async fn memory_passes_the_suite() {
    acceptance::suite(async || Store::open_in_memory().unwrap()).await;
}
