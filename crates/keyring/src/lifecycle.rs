//! What a key version may be used for, and which state may follow which.
//!
//! ```text
//! PENDING_GENERATION ─► ENABLED ⇄ DISABLED ─► DESTROY_SCHEDULED ─► DESTROYED
//!         │                └──────────────────────▲   │
//!         ▼                            ▲──────────────┘ restore
//! GENERATION_FAILED                 DISABLED
//! ```

/// The state of a key version. Times are microseconds since 1970 and come from the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    /// The key is being made.
    PendingGeneration,
    /// The key could not be made.
    GenerationFailed,
    /// Usable.
    Enabled,
    /// Not usable, can be enabled again.
    Disabled,
    /// Not usable; destroyed at the given time unless restored before.
    DestroyScheduled {
        /// From when on the key is destroyed.
        destroy_time_micros: i64,
    },
    /// The key material is gone.
    Destroyed {
        /// When it went.
        destroyed_micros: i64,
    },
}

/// Whether a scheduled destruction has to be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destruction {
    /// Nothing to do.
    NotDue,
    /// The time has come: delete the sealed key and store this state, together.
    Due(Lifecycle),
}

impl Lifecycle {
    /// The state's name in Cloud KMS.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PendingGeneration => "PENDING_GENERATION",
            Self::GenerationFailed => "GENERATION_FAILED",
            Self::Enabled => "ENABLED",
            Self::Disabled => "DISABLED",
            Self::DestroyScheduled { .. } => "DESTROY_SCHEDULED",
            Self::Destroyed { .. } => "DESTROYED",
        }
    }

    /// The key has been made.
    ///
    /// # Errors
    /// Only a version whose key is being made can become enabled this way.
    pub const fn generated(self) -> Result<Self, IllegalTransition> {
        match self {
            Self::PendingGeneration => Ok(Self::Enabled),
            _ => Err(self.illegal(Transition::Generate)),
        }
    }

    /// The key could not be made.
    ///
    /// # Errors
    /// Only a version whose key is being made can fail this way.
    pub const fn generation_failed(self) -> Result<Self, IllegalTransition> {
        match self {
            Self::PendingGeneration => Ok(Self::GenerationFailed),
            _ => Err(self.illegal(Transition::Generate)),
        }
    }

    /// Makes it usable again; an enabled version stays enabled.
    ///
    /// # Errors
    /// A version that is not enabled or disabled.
    pub const fn enable(self) -> Result<Self, IllegalTransition> {
        match self {
            Self::Enabled | Self::Disabled => Ok(Self::Enabled),
            _ => Err(self.illegal(Transition::Enable)),
        }
    }

    /// Makes it unusable; a disabled version stays disabled.
    ///
    /// # Errors
    /// A version that is not enabled or disabled.
    pub const fn disable(self) -> Result<Self, IllegalTransition> {
        match self {
            Self::Enabled | Self::Disabled => Ok(Self::Disabled),
            _ => Err(self.illegal(Transition::Disable)),
        }
    }

    /// Makes it unusable now and destroys it after `delay`.
    ///
    /// # Errors
    /// A version that is not enabled or disabled: a second call does not move the date.
    pub const fn schedule_destruction(
        self,
        now_micros: i64,
        delay: DestroyDelay,
    ) -> Result<Self, IllegalTransition> {
        match self {
            Self::Enabled | Self::Disabled => Ok(Self::DestroyScheduled {
                destroy_time_micros: now_micros.saturating_add(delay.micros()),
            }),
            _ => Err(self.illegal(Transition::Destroy)),
        }
    }

    /// Takes a scheduled destruction back; the version is disabled afterwards.
    ///
    /// # Errors
    /// A version that is not scheduled for destruction, or whose time has come already.
    pub const fn restore(self, now_micros: i64) -> Result<Self, IllegalTransition> {
        match self {
            Self::DestroyScheduled { destroy_time_micros } if now_micros < destroy_time_micros => {
                Ok(Self::Disabled)
            }
            _ => Err(self.illegal(Transition::Restore)),
        }
    }

    /// Whether the time of a scheduled destruction has come.
    #[must_use]
    pub const fn destruction(self, now_micros: i64) -> Destruction {
        match self {
            Self::DestroyScheduled { destroy_time_micros } if now_micros >= destroy_time_micros => {
                Destruction::Due(Self::Destroyed {
                    destroyed_micros: now_micros,
                })
            }
            _ => Destruction::NotDue,
        }
    }

    /// The permission to unseal and use the key of `version`, whose state this is.
    ///
    /// # Errors
    /// [`NotEnabled`] in every state but one.
    pub fn permit_signing(self, version: &str) -> Result<SigningPermit<'_>, NotEnabled> {
        match self {
            Self::Enabled => Ok(SigningPermit { version }),
            _ => Err(NotEnabled {
                version: version.to_owned(),
                state: self.name(),
            }),
        }
    }

    const fn illegal(self, transition: Transition) -> IllegalTransition {
        IllegalTransition {
            transition,
            state: self.name(),
        }
    }
}

/// Proof that a version is enabled. Made by [`Lifecycle::permit_signing`] alone, needed to unseal a key.
#[derive(Debug)]
pub struct SigningPermit<'a> {
    version: &'a str,
}

impl SigningPermit<'_> {
    /// The full name of the version it holds for.
    #[must_use]
    pub const fn version(&self) -> &str {
        self.version
    }
}

/// How long a key waits between the request to destroy it and its destruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DestroyDelay {
    seconds: i64,
}

impl DestroyDelay {
    /// 30 days, when the key says nothing.
    pub const DEFAULT: Self = Self {
        seconds: 30 * DAY_SECONDS,
    };
    /// 24 hours.
    pub const MIN: Self = Self { seconds: DAY_SECONDS };
    /// 120 days.
    pub const MAX: Self = Self {
        seconds: 120 * DAY_SECONDS,
    };

    /// Takes a delay of `seconds`.
    ///
    /// # Errors
    /// [`IllegalDelay`] below 24 hours and above 120 days.
    pub fn from_seconds(seconds: i64) -> Result<Self, IllegalDelay> {
        let delay = Self { seconds };
        if (Self::MIN..=Self::MAX).contains(&delay) {
            Ok(delay)
        } else {
            Err(IllegalDelay { seconds })
        }
    }

    /// The delay in seconds.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.seconds
    }

    const fn micros(self) -> i64 {
        // At most 120 days: 10 368 000 000 000.
        self.seconds.saturating_mul(1_000_000)
    }
}

const DAY_SECONDS: i64 = 86_400;

/// A delay outside 24 hours to 120 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{seconds}s` is not a delay of destruction, expected `86400s` (24 hours) to `10368000s` (120 days)")]
pub struct IllegalDelay {
    /// What was asked for.
    pub seconds: i64,
}

/// A change of state somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// The end of generation.
    Generate,
    /// To ENABLED.
    Enable,
    /// To DISABLED.
    Disable,
    /// To DESTROY_SCHEDULED.
    Destroy,
    /// Back from DESTROY_SCHEDULED.
    Restore,
}

impl Transition {
    const fn past_participle(self) -> &'static str {
        match self {
            Self::Generate => "generated",
            Self::Enable => "enabled",
            Self::Disable => "disabled",
            Self::Destroy => "scheduled for destruction",
            Self::Restore => "restored",
        }
    }

    const fn starts(self) -> &'static str {
        match self {
            Self::Generate => "PENDING_GENERATION",
            Self::Enable | Self::Disable | Self::Destroy => "ENABLED or DISABLED",
            Self::Restore => "DESTROY_SCHEDULED",
        }
    }
}

/// The state does not allow the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a key version that is {state} cannot be {}, expected one that is {}",
    transition.past_participle(),
    transition.starts()
)]
pub struct IllegalTransition {
    /// What was asked for.
    pub transition: Transition,
    /// The state it was asked of.
    pub state: &'static str,
}

/// The version cannot be used now. The sentence, full stop included, is the one Cloud KMS answers with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{version} is not enabled, current state is: {state}.")]
pub struct NotEnabled {
    /// Its full name.
    pub version: String,
    /// Its state.
    pub state: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000_000;
    const LATER: i64 = NOW + 86_400_000_000;
    const SCHEDULED: Lifecycle = Lifecycle::DestroyScheduled {
        destroy_time_micros: LATER,
    };
    const STATES: [Lifecycle; 6] = [
        Lifecycle::PendingGeneration,
        Lifecycle::GenerationFailed,
        Lifecycle::Enabled,
        Lifecycle::Disabled,
        SCHEDULED,
        Lifecycle::Destroyed {
            destroyed_micros: NOW,
        },
    ];

    /// For each state of [`STATES`] the state after the change, or none where it is refused.
    fn check(
        name: &str,
        change: impl Fn(Lifecycle) -> Result<Lifecycle, IllegalTransition>,
        after: [Option<Lifecycle>; 6],
    ) {
        for (state, expected) in STATES.into_iter().zip(after) {
            match (change(state), expected) {
                (Ok(found), Some(expected)) => assert_eq!(found, expected, "{name} from {state:?}"),
                (Err(error), None) => assert_eq!(error.state, state.name()),
                (found, expected) => panic!("{name} from {state:?}: {found:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn the_table_of_transitions() {
        let (enabled, disabled) = (Some(Lifecycle::Enabled), Some(Lifecycle::Disabled));
        check(
            "generated",
            Lifecycle::generated,
            [enabled, None, None, None, None, None],
        );
        let failed = Some(Lifecycle::GenerationFailed);
        check(
            "failed",
            Lifecycle::generation_failed,
            [failed, None, None, None, None, None],
        );
        check(
            "enable",
            Lifecycle::enable,
            [None, None, enabled, enabled, None, None],
        );
        check(
            "disable",
            Lifecycle::disable,
            [None, None, disabled, disabled, None, None],
        );
        let destroy = |state: Lifecycle| state.schedule_destruction(NOW, DestroyDelay::MIN);
        check(
            "destroy",
            destroy,
            [None, None, Some(SCHEDULED), Some(SCHEDULED), None, None],
        );
        check(
            "restore",
            |state| state.restore(NOW),
            [None, None, None, None, disabled, None],
        );
        check("restore too late", |state| state.restore(LATER), [None; 6]);
    }

    #[test]
    fn only_an_enabled_version_signs() {
        for state in STATES {
            let permit = state.permit_signing("v/1");
            assert_eq!(permit.is_ok(), state == Lifecycle::Enabled, "{state:?}");
        }
        assert_eq!(
            Lifecycle::Disabled.permit_signing("v/1").unwrap_err().to_string(),
            "v/1 is not enabled, current state is: DISABLED."
        );
    }

    #[test]
    fn destruction_is_due_at_its_time_and_not_before() {
        assert_eq!(SCHEDULED.destruction(LATER - 1), Destruction::NotDue);
        let due = Destruction::Due(Lifecycle::Destroyed {
            destroyed_micros: LATER,
        });
        assert_eq!(SCHEDULED.destruction(LATER), due);
        for state in STATES.into_iter().filter(|&state| state != SCHEDULED) {
            assert_eq!(state.destruction(i64::MAX), Destruction::NotDue, "{state:?}");
        }
    }

    #[test]
    fn delays_have_bounds() {
        for (seconds, legal) in [
            (86_399, false),
            (86_400, true),
            (2_592_000, true),
            (10_368_000, true),
            (10_368_001, false),
            (0, false),
            (-1, false),
        ] {
            assert_eq!(DestroyDelay::from_seconds(seconds).is_ok(), legal, "{seconds}");
        }
        assert_eq!(DestroyDelay::DEFAULT.seconds(), 2_592_000);
    }

    #[test]
    fn a_refusal_says_what_would_do() {
        assert_eq!(
            Lifecycle::Enabled.restore(NOW).unwrap_err().to_string(),
            "a key version that is ENABLED cannot be restored, expected one that is DESTROY_SCHEDULED"
        );
    }
}
