//! The connection that hears of other servers' commits, and that holds the lead of the servers while this one has it.
//!
//! The lead is a lock of the database that ends with the connection, so no server that died or was cut off keeps it. A
//! server that was cut off may not know that yet: that is what the number of the lead is for, which is asked for with every
//! write that needs it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::Address;
use super::row::column;
use super::session::{Answer, Session};
use super::writer::CHANNEL;
use crate::error::Unavailable;
use crate::settlement::Lead;

/// How often the connection is tried, and the lead where it is free.
const BEAT: Duration = Duration::from_secs(1);
/// A beat that takes longer is the connection's last: the lead is given up before the database gives it to another one,
/// which takes as long as it takes to notice that we are gone.
const BEAT_LIMIT: Duration = Duration::from_secs(3);

/// Listens until it is dropped.
pub(super) struct Listener {
    task: tokio::task::JoinHandle<()>,
    lead: watch::Receiver<Option<Lead>>,
}

impl Listener {
    pub(super) fn start(address: Address, told: Arc<Notify>) -> Listener {
        let (tell, lead) = watch::channel(None);
        let task = tokio::spawn(async move {
            loop {
                // What was committed while nobody listened is found by looking.
                told.notify_one();
                if let Err(error) = listen(&address, &told, &tell).await {
                    tracing::warn!(%error, "changes of other servers are looked for and not heard of");
                }
                let _ = tell.send(None);
                tokio::time::sleep(BEAT).await;
            }
        });
        Listener { task, lead }
    }

    /// The lead, while this server has it.
    pub(super) fn lead(&self) -> Option<Lead> {
        *self.lead.borrow()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Until the connection ends, which is an error.
async fn listen(address: &Address, told: &Arc<Notify>, lead: &watch::Sender<Option<Lead>>) -> Answer<()> {
    let session = Session::open(address, told).await?;
    session.run(&format!("LISTEN {CHANNEL}")).await?;
    told.notify_one();
    loop {
        let leads = lead.borrow().is_some();
        let beat = timeout(BEAT_LIMIT, beat(&session, leads)).await;
        let taken = beat.unwrap_or(Err(Unavailable::Slow {
            seconds: BEAT_LIMIT.as_secs(),
        }))?;
        if let Some(taken) = taken {
            tracing::info!("this server leads: it sends notices and does what one server does for all");
            let _ = lead.send(Some(taken));
        }
        tokio::select! {
            () = session.ended() => return Err(Unavailable::Closed),
            () = tokio::time::sleep(BEAT) => {}
        }
    }
}

/// Shows that the connection is alive; the lead, if it was free.
async fn beat(session: &Session, leads: bool) -> Answer<Option<Lead>> {
    if leads {
        session.query_one("SELECT 1", &[]).await?;
        return Ok(None);
    }
    // `BAZ2`.
    let row = session
        .query_one("SELECT pg_try_advisory_lock(1111570994)", &[])
        .await?;
    if !column::<bool>(&row, 0)? {
        return Ok(None);
    }
    let row = session
        .query_one("UPDATE leadership SET epoch = epoch + 1 RETURNING epoch", &[])
        .await?;
    Ok(Some(Lead {
        epoch: column(&row, 0)?,
    }))
}
