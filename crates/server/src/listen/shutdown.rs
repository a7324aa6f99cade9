//! One signal that every listener and job waits for.

use tokio::sync::watch;

/// Starts the shutdown; dropping it does so too, so that a failed start-up leaves nothing running.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// Tells when the shutdown has begun.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// A connected pair.
#[must_use]
pub fn shutdown() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Begins the shutdown; calling it again changes nothing.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Resolves when the shutdown has begun, at once if it already has.
    pub async fn begun(&mut self) {
        // An error means the trigger is gone, which counts as begun.
        let _ = self.0.wait_for(|begun| *begun).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn begins_once_and_for_all_waiters() {
        let (trigger, mut first) = shutdown();
        let mut second = first.clone();
        trigger.begin();
        first.begun().await;
        first.begun().await;
        second.begun().await;
    }

    #[tokio::test]
    async fn a_lost_trigger_counts_as_begun() {
        let (trigger, mut waiter) = shutdown();
        drop(trigger);
        waiter.begun().await;
    }
}
