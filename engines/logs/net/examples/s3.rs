//! A server that takes S3's PUT of objects and writes each to a folder, for trying sinks: `s3 ADDRESS FOLDER`.
//!
//! Signatures are not checked, buckets exist as soon as they are named.

use std::{
    convert::Infallible,
    io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::TcpListener;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other("usage: s3 ADDRESS FOLDER"));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(&address, Arc::new(PathBuf::from(folder))))
}

async fn serve(address: &str, folder: Arc<PathBuf>) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    eprintln!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let folder = folder.clone();
        let service = service_fn(move |request| {
            let folder = folder.clone();
            async move { Ok::<_, Infallible>(answer(request, &folder).await) }
        });
        tokio::spawn(async move {
            let _broken_off = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>, folder: &Path) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::new()));
    let (parts, body) = request.into_parts();
    *response.status_mut() = match parts.method {
        Method::PUT => match body.collect().await {
            Ok(body) => match store(folder, parts.uri.path(), &body.to_bytes()).await {
                Ok(()) => StatusCode::OK,
                Err(e) => {
                    eprintln!("{}: {e}", parts.uri.path());
                    StatusCode::INTERNAL_SERVER_ERROR
                }
            },
            Err(_) => StatusCode::BAD_REQUEST,
        },
        Method::HEAD => StatusCode::OK,
        _ => StatusCode::METHOD_NOT_ALLOWED,
    };
    response
}

/// Writes an object whole or not at all.
async fn store(folder: &Path, key: &str, body: &[u8]) -> io::Result<()> {
    let key = decoded(key.trim_start_matches('/'));
    let plain = |c: Component<'_>| matches!(c, Component::Normal(_));
    if key.is_empty() || !Path::new(&key).components().all(plain) {
        return Err(io::Error::other("not a plain key"));
    }
    let path = folder.join(key);
    if let Some(parent) = path.parent() {
        tokio::fs::create_dir_all(parent).await?;
    }
    let part = path.with_extension("part");
    tokio::fs::write(&part, body).await?;
    tokio::fs::rename(&part, &path).await
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.bytes();
    while let Some(b) = rest.next() {
        let mut digits = rest.clone();
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        match (b, digit(digits.next()), digit(digits.next())) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                rest = digits;
            }
            _ => out.push(b),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
