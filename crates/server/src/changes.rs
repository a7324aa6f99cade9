//! Tells a job that what it keeps in memory was changed by somebody else.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// How often something was changed. A job that first looks how far the log goes, then whether this is still what it read, and
/// takes no more than was there at the first look, applies a change to everything that is logged after it was answered.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    told: Notify,
    count: AtomicU64,
}

impl Changes {
    /// Something was changed. To be called before the caller is told so.
    pub(crate) fn tell(&self) {
        self.count.fetch_add(1, Ordering::Release);
        self.told.notify_one();
    }

    /// To be read before what is changed is.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Comes back when something is changed, or was since the last time. For one job.
    pub(crate) async fn wait(&self) {
        self.told.notified().await;
    }
}
