//! HTTP as a client: connections with TLS and through proxies, authentication, and what answers mean.

mod auth;
mod client;
mod retry;

pub(crate) use auth::Auth;
pub(crate) use client::{Answer, Client, Protocol};
pub(crate) use retry::{RetryStrategy, standard};

use qd_logs_model::BuildError;
use reqwest::Url;

/// Reads an address of a sink: `http://` or `https://` with a host; credentials in it must not meet an `auth` table.
pub(crate) fn endpoint(text: &str, key: &str, auth: Option<&Auth>) -> Result<Url, BuildError> {
    let with_scheme = match text.contains("://") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    };
    let url = Url::parse(&with_scheme).map_err(|e| BuildError::of(key, format!("`{text}` is no address: {e}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(BuildError::of(
            key,
            format!("`{text}` must have the scheme `http` or `https` and a host"),
        ));
    }
    if auth.is_some() && !url.username().is_empty() {
        return Err(BuildError::of(
            key,
            "credentials stand in the address and in `auth`; remove one of them",
        ));
    }
    Ok(url)
}

/// The address with a path appended to its own.
pub(crate) fn joined(url: &Url, path: &str) -> Url {
    let mut url = url.clone();
    let base = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{base}/{}", path.trim_start_matches('/')));
    url
}
