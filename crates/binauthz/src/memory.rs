//! What is in the memory of this process stays there: private keys are opened in it.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// No core file when the process dies, and nobody but root reads its memory or attaches to it. The limit is set as well
/// because a core pattern that is a pipe does not look at it, and what is dumpable may be changed by the system.
pub(crate) fn keep() -> io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setrlimit(Resource::Core, none)?;
    Ok(())
}
