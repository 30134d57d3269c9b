//! The `auth` table of sinks to AWS.

use std::{fmt, path::PathBuf, sync::Arc};

use object_store::aws::{AmazonS3Builder, AwsCredential, AwsCredentialProvider};
use qd_logs_config::Node;
use qd_logs_model::BuildError;
use serde::Deserialize;

/// Whose rights are used: keys of the configuration, a profile of a file, or what the environment has: variables, a web
/// identity, the container's or the machine's role. Roles to be assumed are not supported.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AwsAuth {
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    session_token: Option<String>,
    assume_role: Option<String>,
    external_id: Option<String>,
    session_name: Option<String>,
    region: Option<String>,
    credentials_file: Option<PathBuf>,
    profile: Option<String>,
    /// How long credentials may take to be loaded; the environment's own limits hold instead.
    load_timeout_secs: Option<u64>,
    /// Limits of asking the machine for its role; fixed ones hold instead.
    imds: Option<Node>,
}

impl fmt::Debug for AwsAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AwsAuth(…)")
    }
}

/// Where the keys of a request come from.
#[derive(Clone)]
pub(super) enum Credentials {
    Fixed(Arc<AwsCredential>),
    Provided(AwsCredentialProvider),
}

impl Credentials {
    /// The keys that hold now.
    ///
    /// # Errors
    /// Why there are none.
    pub(super) async fn get(&self) -> Result<Arc<AwsCredential>, String> {
        match self {
            Credentials::Fixed(c) => Ok(c.clone()),
            Credentials::Provided(p) => p
                .get_credential()
                .await
                .map_err(|e| format!("there are no credentials: {e}")),
        }
    }
}

impl AwsAuth {
    /// The region that is set beside the keys.
    pub(super) fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// Finds the keys, or who will give them.
    ///
    /// # Errors
    /// What is missing, unreadable or not supported.
    pub(super) fn credentials(&self, bucket: &str, region: &str) -> Result<Credentials, BuildError> {
        let refused = [
            ("assume_role", self.assume_role.is_some()),
            ("external_id", self.external_id.is_some()),
            ("session_name", self.session_name.is_some()),
        ];
        if let Some((key, _)) = refused.iter().find(|r| r.1) {
            return Err(BuildError::of(
                &format!("auth.{key}"),
                format!(
                    "`{key}` is not supported; give the role's own keys, or run where the role is the environment's"
                ),
            ));
        }
        if let (Some(key_id), Some(secret_key)) = (&self.access_key_id, &self.secret_access_key) {
            return Ok(Credentials::Fixed(Arc::new(AwsCredential {
                key_id: key_id.clone(),
                secret_key: secret_key.clone(),
                token: self.session_token.clone(),
            })));
        }
        if self.access_key_id.is_some() || self.secret_access_key.is_some() {
            return Err(BuildError::of(
                "auth",
                "`access_key_id` and `secret_access_key` must be set together",
            ));
        }
        if let Some(path) = &self.credentials_file {
            let profile = self.profile.as_deref().unwrap_or("default");
            let text = std::fs::read_to_string(path).map_err(|e| {
                BuildError::of(
                    "auth.credentials_file",
                    format!("`{}` can't be read: {e}", path.display()),
                )
            })?;
            let found = profile_of(&text, profile).ok_or_else(|| {
                BuildError::of(
                    "auth.profile",
                    format!("`{}` has no keys for the profile `{profile}`", path.display()),
                )
            })?;
            return Ok(Credentials::Fixed(Arc::new(found)));
        }
        let store = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_region(region)
            .build()
            .map_err(|e| BuildError::of("auth", format!("the environment's credentials can't be used: {e}")))?;
        Ok(Credentials::Provided(store.credentials().clone()))
    }
}

/// The keys of a profile in a file as the AWS tools write it.
fn profile_of(text: &str, profile: &str) -> Option<AwsCredential> {
    let mut inside = false;
    let (mut key_id, mut secret_key, mut token) = (None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            let name = name.trim();
            inside = name == profile || name.strip_prefix("profile ").map(str::trim) == Some(profile);
        } else if let (true, Some((key, value))) = (inside, line.split_once('=')) {
            let value = Some(value.trim().to_owned());
            match key.trim() {
                "aws_access_key_id" => key_id = value,
                "aws_secret_access_key" => secret_key = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    Some(AwsCredential {
        key_id: key_id?,
        secret_key: secret_key?,
        token,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_found_in_a_file() {
        let text = "[default]\naws_access_key_id = a\naws_secret_access_key=b\n[profile x]\n# none\naws_access_key_id=c\n\
                    aws_secret_access_key = d=\naws_session_token=e\n[y]\naws_access_key_id=f\n";
        let c = profile_of(text, "x").unwrap();
        assert_eq!(
            (c.key_id.as_str(), c.secret_key.as_str(), c.token.as_deref()),
            ("c", "d=", Some("e"))
        );
        assert_eq!(profile_of(text, "default").unwrap().key_id, "a");
        assert!(profile_of(text, "y").is_none());
    }
}
