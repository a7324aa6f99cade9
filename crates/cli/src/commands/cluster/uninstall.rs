//! `cluster uninstall`: the configurations first, because they are what stops a cluster whose server is away. Of a server
//! that `install` runs in the cluster the secrets and the volume stay.

use binauthz_core::name::ClusterName;
use binauthz_kubernetes::{Api, Configuration, Installed, last_known_good::remove, remove_probe};
use clap::Args;
use serde_json::Value;

use super::{Place, last_known_good, must_be_ours, server};
use crate::{
    commands::clusters,
    failure::{Exit, Failure},
    output,
    settings::Settings,
};

/// Which cluster.
#[derive(Debug, Args)]
pub struct Flags {
    #[command(flatten)]
    place: Place,
    /// Print the plan and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl Flags {
    pub(super) async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let api = self.place.api()?;
        let name = self.place.name(settings)?;
        let found = Installed::read(&api).await?;
        must_be_ours(&found, &name)?;
        let is_registered_by_install = found.is_registered_by_install();
        let server = server::installed(&api).await?;
        let kept = last_known_good::shown(&api).await?;
        let has_list = !kept.is_empty();
        self.show_plan(&api, &name, &found, &[kept, shown(&server)].concat());
        if self.dry_run {
            return Ok(Exit::Done);
        }
        // The validating one first: an object that was not patched is still judged until then.
        for which in Configuration::ALL.into_iter().rev() {
            if let Some(object) = found.configuration(which) {
                api.delete_exactly(&which.path(), object).await?;
            }
        }
        remove_probe(&api).await?;
        if has_list {
            remove(&api, true).await?;
        }
        if is_registered_by_install {
            forget(settings, &name).await?;
        }
        for object in &server {
            server::remove(&api, object).await?;
        }
        if !server.is_empty() {
            output::note(server::LEFT);
        }
        output::note(&format!("Uninstalled [{name}]."));
        Ok(Exit::Done)
    }

    fn show_plan(&self, api: &Api, name: &ClusterName, found: &Installed, others: &[String]) {
        output::note(&format!(
            "{name} at {} (context `{}`)",
            api.server(),
            self.place.context
        ));
        let mut lines: Vec<String> = Configuration::ALL
            .into_iter()
            .rev()
            .filter(|which| found.configuration(*which).is_some())
            .map(|which| format!("  remove {} binauthz", which.kind()))
            .collect();
        lines.extend(others.iter().map(|object| format!("  remove {object}")));
        if lines.is_empty() {
            lines.push("nothing is installed".to_owned());
        }
        if found.is_registered_by_install() {
            lines.push("  forget the cluster".to_owned());
        }
        for line in lines {
            output::note(&line);
        }
    }
}

fn shown(objects: &[Value]) -> Vec<String> {
    objects.iter().map(server::shown).collect()
}

async fn forget(settings: &Settings, name: &ClusterName) -> Result<(), Failure> {
    let forgotten = async {
        let client = settings.client()?;
        match clusters::find(&client, name).await? {
            Some(_) => clusters::forget(&client, name).await.map(|_done| ()),
            None => Ok(()),
        }
    };
    forgotten.await.map_err(|failure: Failure| {
        failure
            .advise("the webhook configurations are removed: nothing is guarded any more")
            .advise(format_args!(
                "the cluster is still registered: binauthz clusters delete {} --location={}",
                name.cluster(),
                name.location()
            ))
    })
}
