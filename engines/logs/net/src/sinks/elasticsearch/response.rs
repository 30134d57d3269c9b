//! What the answer to a bulk request means for each document.

use ::http::StatusCode;
use serde::Deserialize;

use crate::{
    http::{Answer, standard},
    request::Verdict,
};

#[derive(Deserialize)]
struct Bulk {
    #[serde(default)]
    errors: bool,
    #[serde(default)]
    items: Vec<std::collections::BTreeMap<String, Item>>,
}

#[derive(Deserialize)]
struct Item {
    status: Option<u16>,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    reason: Option<String>,
}

/// The verdict; with `retry_partial` documents that failed for a moment are sent again, else all that failed are refused.
pub(super) fn verdict(answer: Result<Answer, String>, retry_partial: bool) -> Verdict {
    let answer = match answer {
        Ok(a) if a.status == StatusCode::REQUEST_TIMEOUT => return Verdict::Refused(a.summary()),
        Ok(a) if a.status.is_success() => a,
        other => return standard(other),
    };
    if memchr::memmem::find(&answer.body, b"\"errors\":true").is_none() {
        // A body that is no answer of Elasticsearch was accepted by whoever sent it.
        match serde_json::from_slice::<Bulk>(&answer.body) {
            Ok(bulk) if bulk.errors => {}
            _ => return Verdict::Delivered,
        }
    }
    let bulk: Bulk = match serde_json::from_slice(&answer.body) {
        Ok(bulk) => bulk,
        Err(e) => return Verdict::Refused(format!("the answer can't be read: {e}")),
    };
    let (mut again, mut refused) = (Vec::new(), Vec::new());
    let mut why = None;
    for (i, item) in bulk.items.iter().enumerate() {
        let Some(item) = item.values().next() else { continue };
        let status = item.status.unwrap_or(500);
        if status < 300 && item.error.is_none() {
            continue;
        }
        if why.is_none() {
            why = item.error.as_ref().map(|e| {
                let reason = e.reason.as_deref().unwrap_or("no reason");
                format!("{status} {}: {reason}", e.kind)
            });
        }
        match retry_partial && (status == 429 || status >= 500) {
            true => again.push(i),
            false => refused.push(i),
        }
    }
    Verdict::Partial {
        again,
        refused,
        why: why.unwrap_or_else(|| "some documents failed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Result<Answer, String> {
        Ok(Answer {
            status: StatusCode::OK,
            headers: Default::default(),
            body: body.to_owned().into(),
            trailers: Default::default(),
        })
    }

    #[test]
    fn only_what_failed_for_a_moment_is_sent_again() {
        let body = r#"{"took":1,"errors":true,"items":[{"index":{"status":201}},
            {"index":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"full"}}},
            {"create":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"bad"}}}]}"#;
        let wanted = Verdict::Partial {
            again: vec![1],
            refused: vec![2],
            why: "429 es_rejected_execution_exception: full".to_owned(),
        };
        assert_eq!(verdict(answer(body), true), wanted);
        let Verdict::Partial { again, refused, .. } = verdict(answer(body), false) else {
            panic!("not partial");
        };
        assert_eq!((again, refused), (vec![], vec![1, 2]));
        assert_eq!(
            verdict(answer(r#"{"errors":false,"items":[]}"#), true),
            Verdict::Delivered
        );
        assert_eq!(verdict(answer("ok"), true), Verdict::Delivered);
    }
}
