//! Which requests a listener takes, and what becomes of them.

use std::{fmt, sync::Arc, time::Duration};

use qd_proxy_policy::{AccessPolicy, BudgetConfig, RateLimit, RetryPolicy, retry::MAX_REPLAY};

pub use qd_proxy_config::{GrpcMatch, Hostname, HttpMatch, Match, Matcher, PathEdit, PathMatch};

/// A change of header fields, in this order: set, add, remove.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HeaderEdit {
    /// Replaced or added.
    pub set: Vec<(Vec<u8>, Vec<u8>)>,
    /// Added.
    pub add: Vec<(Vec<u8>, Vec<u8>)>,
    /// Taken away.
    pub remove: Vec<Vec<u8>>,
}

impl HeaderEdit {
    /// Applies it.
    pub fn apply(&self, fields: &mut qd_proxy_wire::Fields) {
        self.set.iter().for_each(|(n, v)| fields.set(n, v));
        self.add.iter().for_each(|(n, v)| fields.push(n, v));
        self.remove.iter().for_each(|n| fields.remove_name(n));
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }
}

/// A cluster that a route sends to.
#[derive(Debug, Clone, PartialEq)]
pub struct Backend {
    /// Its name.
    pub cluster: String,
    /// Its share among the route's clusters; 0 for none.
    pub weight: u32,
    /// Changes of requests that go there, after those of the route.
    pub request_headers: HeaderEdit,
    /// Changes of responses that come from there, before those of the route.
    pub response_headers: HeaderEdit,
}

impl Backend {
    /// One with the weight 1.
    pub fn new(cluster: impl Into<String>) -> Backend {
        Backend {
            cluster: cluster.into(),
            weight: 1,
            request_headers: HeaderEdit::default(),
            response_headers: HeaderEdit::default(),
        }
    }
}

/// A copy of requests for somebody else. What comes back is thrown away.
#[derive(Debug, Clone, PartialEq)]
pub struct Mirror {
    /// The cluster that gets it.
    pub cluster: String,
    /// How many of a hundred requests.
    pub percent: f64,
    /// Changes of the copy.
    pub request_headers: HeaderEdit,
}

/// What is done with a request that fits.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// It goes to one of the clusters, by weight.
    Forward(Vec<Backend>),
    /// It is told to go elsewhere.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// `http` or `https`; the request's own if absent.
        scheme: Option<String>,
        /// Host; the request's own if absent.
        host: Option<String>,
        /// Port; none if absent.
        port: Option<u16>,
        /// Path; the request's own if absent.
        path: Option<PathEdit>,
    },
    /// It is answered here.
    Respond {
        /// The status.
        status: u16,
        /// The body, as plain text.
        body: Arc<str>,
    },
}

/// When another attempt is made.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// After what, how often and when.
    pub policy: RetryPolicy,
    /// Bytes of a body that are kept to be sent again.
    pub body: usize,
    /// How many of all requests may be further attempts.
    pub budget: BudgetConfig,
}

impl Default for Retry {
    /// Never.
    fn default() -> Self {
        Retry {
            policy: RetryPolicy::default(),
            body: MAX_REPLAY,
            budget: BudgetConfig::default(),
        }
    }
}

/// What happens to requests of a route.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Its name in metrics.
    pub name: Arc<str>,
    /// What access policies call it: the same for all rules of a route in a file.
    pub family: Arc<str>,
    /// Its hosts; any if there is none.
    pub hosts: Vec<Hostname>,
    /// One of these must fit; any request does if there is none. Which of several routes that fit is taken is said in
    /// [`qd_proxy_config::Router`]; among equals it is the one that stands first.
    pub matches: Vec<Match>,
    /// What is done.
    pub action: Action,
    /// Who gets copies.
    pub mirrors: Vec<Mirror>,
    /// Changes of the request.
    pub request_headers: HeaderEdit,
    /// Changes of the response.
    pub response_headers: HeaderEdit,
    /// Replaces the path.
    pub path: Option<PathEdit>,
    /// Replaces the host.
    pub host: Option<String>,
    /// The whole request, from its head to the end of the response. A gRPC client may ask for less.
    pub timeout: Option<Duration>,
    /// One attempt, until the head of the response.
    pub attempt_timeout: Option<Duration>,
    /// Silence within a body; the listener's if absent.
    pub idle_timeout: Option<Duration>,
    /// Further attempts.
    pub retry: Retry,
    /// Requests that it takes.
    pub rate: Option<RateLimit>,
    /// Requests that it takes of one client: by the identity of its certificate, else by its address.
    pub client_rate: Option<RateLimit>,
    /// Who may use it, beside those that the listener lets in.
    pub access: Option<Arc<AccessPolicy>>,
}

impl Route {
    /// Everything goes to this cluster.
    pub fn to(cluster: impl Into<String>) -> Route {
        Route {
            name: Arc::from("default"),
            family: Arc::from("default"),
            hosts: Vec::new(),
            matches: Vec::new(),
            action: Action::Forward(vec![Backend::new(cluster)]),
            mirrors: Vec::new(),
            request_headers: HeaderEdit::default(),
            response_headers: HeaderEdit::default(),
            path: None,
            host: None,
            timeout: None,
            attempt_timeout: None,
            idle_timeout: None,
            retry: Retry::default(),
            rate: None,
            client_rate: None,
            access: None,
        }
    }
}

/// Where bytes go that nobody looks into: one of the clusters, by weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// What access policies and metrics call it.
    pub name: Arc<str>,
    /// The clusters and their shares.
    pub clusters: Vec<(String, u32)>,
}

impl From<&str> for Split {
    /// All to one cluster.
    fn from(cluster: &str) -> Split {
        Split {
            name: Arc::from(cluster),
            clusters: vec![(cluster.to_owned(), 1)],
        }
    }
}

impl From<String> for Split {
    fn from(cluster: String) -> Split {
        Split::from(cluster.as_str())
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
