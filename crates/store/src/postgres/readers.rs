//! The connections that questions go over: few, each shared by many who ask, and made anew when they fail.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Notify, Semaphore};
use tokio::time::timeout;

use super::Address;
use super::session::{Answer, Session};
use crate::error::Unavailable;
use crate::queue::PATIENCE;

/// Connections. Questions are sent one behind the other without waiting for answers, so one connection answers some 20 000
/// small ones a second; a long list holds up those behind it, which is why there are four. With the writer's and the
/// listener's a server has six.
const READERS: usize = 4;
/// Questions under way: 64 on each connection. Answers have at most 5 000 documents of 1 KB as a rule.
const UNDER_WAY: usize = 64 * READERS;
/// For one answer. The database itself gives up a statement after 5 s.
const ANSWER: Duration = Duration::from_secs(7);
/// A database that is away is asked again after this: whoever comes in between is told at once.
const RETRY: Duration = Duration::from_millis(250);

/// The connections.
pub(super) struct Readers {
    address: Address,
    told: Arc<Notify>,
    slots: [Mutex<Slot>; READERS],
    next: AtomicUsize,
    under_way: Semaphore,
}

/// One connection, or why there is none.
#[derive(Default)]
struct Slot {
    session: Option<Arc<Session>>,
    failed: Option<(Instant, Unavailable)>,
}

impl Readers {
    pub(super) fn new(address: &Address, told: &Arc<Notify>) -> Readers {
        Readers {
            address: address.clone(),
            told: Arc::clone(told),
            slots: Default::default(),
            next: AtomicUsize::new(0),
            under_way: Semaphore::new(UNDER_WAY),
        }
    }

    /// Asks. A question whose connection was cut is asked once more over another one: it changes nothing.
    pub(super) async fn ask<T, Q, F>(&self, question: Q) -> Answer<T>
    where
        Q: Fn(Arc<Session>) -> F,
        F: Future<Output = Answer<T>>,
    {
        let Ok(permit) = timeout(PATIENCE, self.under_way.acquire()).await else {
            return Err(Unavailable::Busy {
                seconds: PATIENCE.as_secs(),
            });
        };
        let _permit = permit.map_err(|_| Unavailable::Closed)?;
        let session = self.session().await?;
        match answer(&session, question(Arc::clone(&session))).await {
            Err(_) if session.is_broken() => {}
            answered => return answered,
        }
        let session = self.session().await?;
        answer(&session, question(Arc::clone(&session))).await
    }

    async fn session(&self) -> Answer<Arc<Session>> {
        let place = self.next.fetch_add(1, Ordering::Relaxed) % READERS;
        let slot = self.slots.get(place).ok_or(Unavailable::Closed)?;
        let Ok(mut slot) = timeout(PATIENCE, slot.lock()).await else {
            return Err(Unavailable::Slow {
                seconds: PATIENCE.as_secs(),
            });
        };
        if let Some(session) = slot.session.as_ref().filter(|session| !session.is_broken()) {
            return Ok(Arc::clone(session));
        }
        if let Some((at, why)) = &slot.failed
            && at.elapsed() < RETRY
        {
            return Err(why.clone());
        }
        slot.session = None;
        match Session::open(&self.address, &self.told).await {
            Ok(session) => {
                let session = Arc::new(session);
                *slot = Slot {
                    session: Some(Arc::clone(&session)),
                    failed: None,
                };
                Ok(session)
            }
            Err(why) => {
                slot.failed = Some((Instant::now(), why.clone()));
                Err(why)
            }
        }
    }
}

/// Whoever waits too long takes the connection out of use: everybody behind would wait as long.
async fn answer<T>(session: &Session, answering: impl Future<Output = Answer<T>>) -> Answer<T> {
    timeout(ANSWER, answering).await.unwrap_or_else(|_| {
        session.give_up();
        Err(Unavailable::Slow {
            seconds: ANSWER.as_secs(),
        })
    })
}
