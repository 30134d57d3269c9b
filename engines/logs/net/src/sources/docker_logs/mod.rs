//! The `docker_logs` source: what containers write, by Docker's API over its unix socket.
//!
//! Containers that run at the start are read from then on, those that start later from their beginning. TLS to remote
//! daemons and `multiline` are not supported.

mod container;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use bollard::{
    API_DEFAULT_VERSION, Docker,
    query_parameters::{EventsOptions, ListContainersOptions},
};
use chrono::Utc;
use futures::StreamExt;
use qd_core::Severity;
use qd_logs_config::Node;
use qd_logs_model::{
    BoxFuture, BuildError, ComponentError, Context, EventKind, OutputPort, Shutdown, Source, SourceConfig, SourceOut,
};
use serde::Deserialize;
use tokio::task::{AbortHandle, JoinSet};
use vrl::path::OwnedValuePath;

use super::{Entrance, OptionalPath, legacy_namespace};
use container::{Follower, Shared};

/// Seconds until a call to the daemon is given up; streams may be silent as long as they like.
const TIMEOUT_SECS: u64 = 120;

/// The configuration, with Vector's keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DockerConfig {
    host_key: Option<OptionalPath>,
    docker_host: Option<String>,
    exclude_containers: Option<Vec<String>>,
    include_containers: Option<Vec<String>>,
    include_labels: Option<Vec<String>>,
    include_images: Option<Vec<String>>,
    #[serde(default = "partial_marker")]
    partial_event_marker_field: Option<String>,
    #[serde(default = "yes")]
    auto_partial_merge: bool,
    #[serde(default = "two")]
    retry_backoff_secs: u64,
    /// Joining lines, which is not supported here.
    multiline: Option<Node>,
    /// Keys for a remote daemon, which are not supported.
    tls: Option<Node>,
    log_namespace: Option<bool>,
}

fn partial_marker() -> Option<String> {
    Some("_partial".to_owned())
}

fn yes() -> bool {
    true
}

fn two() -> u64 {
    2
}

impl DockerConfig {
    fn connect(&self) -> Result<Docker, BuildError> {
        let host = self.docker_host.clone().or_else(|| std::env::var("DOCKER_HOST").ok());
        let made = match host.as_deref() {
            None => Docker::connect_with_unix("/var/run/docker.sock", TIMEOUT_SECS, API_DEFAULT_VERSION),
            Some(host) => match (host.strip_prefix("unix://"), host.starts_with('/')) {
                (Some(path), _) => Docker::connect_with_unix(path, TIMEOUT_SECS, API_DEFAULT_VERSION),
                (None, true) => Docker::connect_with_unix(host, TIMEOUT_SECS, API_DEFAULT_VERSION),
                (None, false) => {
                    let why = format!("`{host}` is not supported, only unix sockets are");
                    return Err(BuildError::of("docker_host", why));
                }
            },
        };
        made.map_err(|e| BuildError::of("docker_host", format!("the daemon can't be reached: {e}")))
    }

    /// Whether a container is wanted by its names and id. An id may be shortened, a name may be a beginning.
    fn wants(&self, id: &str, names: &[String]) -> bool {
        let named = |list: &[String]| {
            list.iter().any(|given| {
                id.starts_with(given.as_str())
                    || names
                        .iter()
                        .any(|n| n.trim_start_matches('/').starts_with(given.as_str()))
            })
        };
        self.include_containers.as_deref().is_none_or(&named) && !self.exclude_containers.as_deref().is_some_and(named)
    }

    fn filters(&self) -> HashMap<String, Vec<String>> {
        let mut filters = HashMap::new();
        if let Some(labels) = self.include_labels.as_ref().filter(|l| !l.is_empty()) {
            filters.insert("label".to_owned(), labels.clone());
        }
        filters
    }
}

impl SourceConfig for DockerConfig {
    fn outputs(&self) -> Vec<OutputPort> {
        vec![OutputPort::default_of(EventKind::Log)]
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<Box<dyn Source>, BuildError>> {
        Box::pin(async move {
            legacy_namespace(self.log_namespace)?;
            for (key, given) in [("multiline", self.multiline.is_some()), ("tls", self.tls.is_some())] {
                if given {
                    return Err(BuildError::of(
                        key,
                        format!("`{key}` is not supported by `docker_logs`"),
                    ));
                }
            }
            if let (Some(include), Some(exclude)) = (&self.include_containers, &self.exclude_containers)
                && let Some(both) = include.iter().find(|c| exclude.contains(c))
            {
                return Err(BuildError::of(
                    "exclude_containers",
                    format!("`{both}` is included and excluded"),
                ));
            }
            Ok(Box::new(DockerLogs {
                docker: self.connect()?,
                config: self.clone(),
                cx,
            }) as Box<dyn Source>)
        })
    }
}

struct DockerLogs {
    docker: Docker,
    config: DockerConfig,
    cx: Context,
}

impl Source for DockerLogs {
    fn run(self: Box<Self>, out: SourceOut, mut shutdown: Shutdown) -> BoxFuture<'static, Result<(), ComponentError>> {
        Box::pin(async move {
            let schema = self.cx.globals.log_schema.clone();
            let host_key = match &self.config.host_key {
                Some(given) => given.0.clone(),
                None => schema.host_key.clone(),
            };
            let shared = Arc::new(Shared {
                docker: self.docker.clone(),
                entrance: Entrance::new(out, &self.cx, false),
                schema,
                host_key,
                hostname: self.cx.globals.hostname.clone(),
                marker: self
                    .config
                    .partial_event_marker_field
                    .as_deref()
                    .map(OwnedValuePath::single_field),
                merges: self.config.auto_partial_merge,
                backoff: Duration::from_secs(self.config.retry_backoff_secs.max(1)),
                cx: self.cx.clone(),
            });
            tokio::select! {
                () = shutdown.wait() => {}
                () = self.follow(shared) => {}
            }
            Ok(())
        })
    }
}

impl DockerLogs {
    /// Watches which containers there are, for ever. Dropping it ends all that it started.
    async fn follow(&self, shared: Arc<Shared>) {
        let mut followed: BTreeMap<String, AbortHandle> = BTreeMap::new();
        let mut tasks = JoinSet::new();
        let mut since = Utc::now();
        loop {
            // The daemon repeats events from `since` on, so that no container starts unseen between list and events.
            let mut filters = self.config.filters();
            filters.insert("type".to_owned(), vec!["container".to_owned()]);
            filters.insert("event".to_owned(), vec!["start".to_owned(), "unpause".to_owned()]);
            let mut events = Box::pin(self.docker.events(Some(EventsOptions {
                since: Some(since.timestamp().to_string()),
                filters: Some(filters),
                ..EventsOptions::default()
            })));
            let listed = self
                .docker
                .list_containers(Some(ListContainersOptions {
                    filters: Some(self.config.filters()),
                    ..ListContainersOptions::default()
                }))
                .await;
            match listed {
                Ok(containers) => {
                    for c in containers {
                        let (Some(id), names) = (c.id, c.names.unwrap_or_default()) else {
                            continue;
                        };
                        if self.config.wants(&id, &names) && self.image_is_wanted(c.image.as_deref()) {
                            start(&mut tasks, &mut followed, &shared, id, Some(since));
                        }
                    }
                }
                Err(e) => self.complain(&format!("the containers can't be listed: {e}")),
            }
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => {
                        since = Utc::now();
                        let actor = event.actor.unwrap_or_default();
                        let attributes = actor.attributes.unwrap_or_default();
                        let names: Vec<String> = attributes.get("name").cloned().into_iter().collect();
                        let image = attributes.get("image").map(String::as_str);
                        let Some(id) = actor.id else { continue };
                        if self.config.wants(&id, &names) && self.image_is_wanted(image) {
                            start(&mut tasks, &mut followed, &shared, id, None);
                        }
                    }
                    Err(e) => {
                        self.complain(&format!("the daemon's events broke off: {e}"));
                        break;
                    }
                }
                while tasks.try_join_next().is_some() {}
                followed.retain(|_, task| !task.is_finished());
            }
            tokio::time::sleep(shared.backoff).await;
        }
    }

    fn image_is_wanted(&self, image: Option<&str>) -> bool {
        let matches = |wanted: &String| image.is_some_and(|i| i == wanted || i.split(':').next() == Some(wanted));
        self.config
            .include_images
            .as_ref()
            .is_none_or(|l| l.is_empty() || l.iter().any(matches))
    }

    fn complain(&self, why: &str) {
        self.cx.telemetry.error("connection_failed", "receiving");
        self.cx.log.say(Severity::Warn, why, Vec::new());
    }
}

fn start(
    tasks: &mut JoinSet<()>,
    followed: &mut BTreeMap<String, AbortHandle>,
    shared: &Arc<Shared>,
    id: String,
    since: Option<chrono::DateTime<Utc>>,
) {
    if followed.get(&id).is_some_and(|t| !t.is_finished()) {
        return;
    }
    let follower = Follower::new(shared.clone(), id.clone(), since);
    followed.insert(id, tasks.spawn(follower.run()));
}
