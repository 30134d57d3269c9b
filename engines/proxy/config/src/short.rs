//! The one-line form: `--listen 127.0.0.1:8080 --to 127.0.0.1:3000,127.0.0.1:3001`.

use std::str::FromStr;

use qd_proxy_policy::Strategy;
use qd_tree::Spanned;

use crate::address::{Address, BadAddress, Bind};
use crate::cluster::{Cluster, ClusterTls, Endpoint, Speaks};
use crate::listener::{Admin, Listener, Mode, Protocol};
use crate::load::Config;
use crate::route::{BackendRef, HttpRoute, HttpRule, Route};

/// What the command line says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Short {
    /// `--listen`, each an address.
    pub listen: Vec<String>,
    /// `--to`, each one endpoint or several with commas between.
    pub to: Vec<String>,
    /// The mode; reverse without one.
    pub mode: Mode,
    /// `--balance`.
    pub balance: Option<String>,
    /// `--admin`.
    pub admin: Option<String>,
}

/// What the command line says wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShortError {
    /// Nothing to listen on.
    #[error("there is nothing to listen on; add --listen 127.0.0.1:8080")]
    NoListen,
    /// Nothing to send to.
    #[error("there is nowhere to send requests to; add --to 127.0.0.1:3000")]
    NoTo,
    /// Something that is not needed.
    #[error("a proxy in this mode goes where its clients ask to; leave --to out")]
    ToInForward,
    /// An address.
    #[error("{option} {text}: {error}")]
    Address {
        /// `--listen`, `--to` or `--admin`.
        option: &'static str,
        /// What it was given.
        text: String,
        /// What is wrong with it.
        error: BadAddress,
    },
    /// Endpoints with and without TLS, or of two protocols.
    #[error("--to {0}: all endpoints of one cluster speak the same; a configuration file can have several clusters")]
    Mixed(String),
    /// An endpoint twice, or an address listened on twice.
    #[error("{0} {1} stands twice")]
    Twice(&'static str, String),
    /// A way to balance that is none.
    #[error("--balance {0}: expected p2c, roundRobin, leastRequest, weighted or consistentHash")]
    Balance(String),
    /// A way that needs a configuration file.
    #[error("--balance consistentHash needs to know what to hash; write a configuration file with `hashOn`")]
    Hash,
}

/// The prefix of an endpoint: what it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Scheme {
    tls: bool,
    speaks: Speaks,
    bytes: bool,
    port: Option<u16>,
}

fn scheme(text: &str) -> (Scheme, &str) {
    let is = |prefix: &str| {
        text.strip_prefix(prefix)
            .map(|rest| rest.strip_suffix('/').unwrap_or(rest))
    };
    let plain = Scheme::default();
    if let Some(rest) = is("http://") {
        (
            Scheme {
                port: Some(80),
                ..plain
            },
            rest,
        )
    } else if let Some(rest) = is("https://") {
        let scheme = Scheme {
            tls: true,
            port: Some(443),
            ..plain
        };
        (scheme, rest)
    } else if let Some(rest) = is("h2c://") {
        let scheme = Scheme {
            speaks: Speaks::Http2,
            port: Some(80),
            ..plain
        };
        (scheme, rest)
    } else if let Some(rest) = is("tcp://") {
        (Scheme { bytes: true, ..plain }, rest)
    } else {
        (plain, text)
    }
}

impl Short {
    /// The configuration that says the same.
    ///
    /// # Errors
    /// What is missing or cannot be read.
    pub fn config(&self) -> Result<Config, ShortError> {
        let address = |option, text: &str, error| ShortError::Address {
            option,
            text: text.to_owned(),
            error,
        };
        if self.listen.is_empty() {
            return Err(ShortError::NoListen);
        }
        let forwards = matches!(self.mode, Mode::Forward | Mode::Intercept | Mode::Transparent);
        let texts: Vec<&str> = self
            .to
            .iter()
            .flat_map(|t| t.split(','))
            .map(str::trim)
            .filter(|t| !t.is_empty())
            .collect();
        if texts.is_empty() && !forwards {
            return Err(ShortError::NoTo);
        }
        if !texts.is_empty() && forwards {
            return Err(ShortError::ToInForward);
        }
        let mut first: Option<Scheme> = None;
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for text in texts {
            let (scheme, rest) = scheme(text);
            if *first.get_or_insert(scheme) != scheme {
                return Err(ShortError::Mixed(text.to_owned()));
            }
            let to = match (Address::from_str(rest), scheme.port) {
                (Err(BadAddress::NoPort(_)), Some(port)) => Address::from_str(&format!("{rest}:{port}")),
                (to, _) => to,
            };
            let to = to.map_err(|e| address("--to", text, e))?;
            if endpoints.iter().any(|e| e.address.value == to) {
                return Err(ShortError::Twice("--to", to.to_string()));
            }
            endpoints.push(Endpoint {
                address: Spanned::new(to),
                weight: 1,
            });
        }
        let scheme = first.unwrap_or_default();
        let bytes = scheme.bytes || self.mode == Mode::Opaque;
        let mut config = Config::default();
        for (at, text) in self.listen.iter().flat_map(|l| l.split(',')).map(str::trim).enumerate() {
            let bind = Bind::from_str(text).map_err(|e| address("--listen", text, e))?;
            let any = matches!(&bind, Bind::Tcp(a) if a.port() == 0);
            if !any && config.listeners.iter().any(|l| l.address.value == bind) {
                return Err(ShortError::Twice("--listen", bind.to_string()));
            }
            let name = if at == 0 {
                "main".to_owned()
            } else {
                format!("main-{}", at + 1)
            };
            let mut listener = Listener::new(name, bind);
            listener.mode = Spanned::new(if bytes { Mode::Opaque } else { self.mode });
            if bytes {
                listener.protocol = Spanned::new(Protocol::Tcp);
            }
            if !forwards {
                listener.backend = Some(Spanned::new("to".to_owned()));
            }
            config.listeners.push(listener);
        }
        if !forwards {
            let mut cluster = Cluster::new("to", []);
            cluster.endpoints = endpoints;
            cluster.protocol = scheme.speaks;
            cluster.tls = scheme.tls.then(|| Spanned::new(ClusterTls::default()));
            if let Some(balance) = &self.balance {
                cluster.balance.strategy = Spanned::new(strategy(balance)?);
            }
            config.clusters.push(cluster);
            if !bytes {
                config.routes.push(Route::Http(everything()));
            }
        }
        if let Some(admin) = &self.admin {
            let bind = Bind::from_str(admin).map_err(|e| address("--admin", admin, e))?;
            config.admin = Some(Admin {
                address: Spanned::new(bind),
            });
        }
        Ok(config)
    }
}

fn strategy(text: &str) -> Result<Strategy, ShortError> {
    let all = [
        Strategy::P2c,
        Strategy::RoundRobin,
        Strategy::LeastRequest,
        Strategy::Weighted,
        Strategy::ConsistentHash,
    ];
    let plain = |text: &str| text.replace('-', "").to_ascii_lowercase();
    match all.into_iter().find(|s| plain(s.name()) == plain(text)) {
        Some(Strategy::ConsistentHash) => Err(ShortError::Hash),
        Some(strategy) => Ok(strategy),
        None => Err(ShortError::Balance(text.to_owned())),
    }
}

/// The route of every request to the one cluster.
fn everything() -> HttpRoute {
    let rule = HttpRule {
        name: None,
        matches: Vec::new(),
        filters: Vec::new(),
        backend_refs: vec![BackendRef {
            name: Spanned::new("to".to_owned()),
            weight: 1,
            filters: Vec::new(),
        }],
        timeouts: Default::default(),
        retry: None,
        rate_limit: Default::default(),
        access: None,
    };
    HttpRoute {
        name: Spanned::new("default".to_owned()),
        parent_refs: Vec::new(),
        hostnames: Vec::new(),
        rules: vec![Spanned::new(rule)],
    }
}
