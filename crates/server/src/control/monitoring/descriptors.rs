//! The kinds of notification channels there are.

use binauthz_wire::monitoring::channel::{DESCRIPTORS, write_descriptor};

use crate::app::App;
use crate::control::call::{Call, Reply};
use crate::control::error::ApiError;
use crate::control::listing::{self, Page};

pub(super) async fn list(_: &App, call: Call) -> Result<Reply, ApiError> {
    let project = call.project()?.to_string();
    let page = Page::of(
        &call,
        format!("projects/{project}/notificationChannelDescriptors"),
        100,
        1000,
    )?;
    let after = page.after().unwrap_or_default();
    let mut kinds: Vec<_> = DESCRIPTORS.iter().collect();
    kinds.sort_by_key(|descriptor| descriptor.kind);
    kinds.retain(|descriptor| descriptor.kind > after.as_str());
    let next = page.cut(&mut kinds, |descriptor| descriptor.kind.to_owned());
    let kinds = kinds
        .iter()
        .map(|descriptor| write_descriptor(&project, descriptor))
        .collect();
    Ok(Reply::json(listing::reply("channelDescriptors", kinds, next)))
}

pub(super) async fn read(_: &App, call: Call) -> Result<Reply, ApiError> {
    let (project, kind) = (call.project()?.to_string(), call.param("descriptor"));
    let known = DESCRIPTORS.iter().find(|descriptor| descriptor.kind == kind);
    let Some(descriptor) = known else {
        let kinds: Vec<&str> = DESCRIPTORS.iter().map(|descriptor| descriptor.kind).collect();
        return Err(ApiError::not_found(format!(
            "`{}` is not a kind of channel that this server knows, expected one of `{}`",
            kind.chars()
                .take(63)
                .flat_map(char::escape_debug)
                .collect::<String>(),
            kinds.join("`, `")
        )));
    };
    Ok(Reply::json(write_descriptor(&project, descriptor)))
}
