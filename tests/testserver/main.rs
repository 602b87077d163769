//! A server for tests. It answers every request over HTTP or UDP with a JSON object. The
//! object has the names of its pod and node, the client's address, the protocol and the request.
//!
//! `testserver` serves; `testserver get URL` fetches a page, because pods have no curl.
#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    reason = "a test server needs no more than a thread for each protocol and connection"
)]

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};

/// How long a connection may stay silent before the server closes it.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => serve(),
        ["get", url] => fetch(url),
        _ => bail!("usage: testserver | testserver get http://HOST:PORT/PATH"),
    }
}

/// Serves HTTP and UDP on the port in the environment variable `PORT`, by default 80.
fn serve() -> Result<()> {
    let port: u16 = env::var("PORT")
        .map_or(Ok(80), |port| port.parse())
        .context("PORT is not a port number")?;
    let http = TcpListener::bind(("::", port)).with_context(|| format!("can't listen on TCP port {port}"))?;
    let udp = UdpSocket::bind(("::", port)).with_context(|| format!("can't listen on UDP port {port}"))?;
    thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
            // The client may have gone meanwhile; that is no reason to stop.
            let _ = udp.send_to(answer("udp", &text, from).as_bytes(), from);
        }
    });
    for stream in http.incoming().flatten() {
        thread::spawn(move || {
            // A broken connection concerns only its client.
            let _ = serve_connection(&stream);
        });
    }
    Ok(())
}

/// Answers the requests on a connection until the client closes it.
fn serve_connection(stream: &TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let from = stream.peer_addr()?;
    let mut reader = BufReader::new(stream.take(u64::MAX));
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut close = false;
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
                break;
            }
            close |= header.to_ascii_lowercase().starts_with("connection: close");
        }
        let body = answer("tcp", request.split(' ').nth(1).unwrap_or_default(), from);
        let mut writer = stream;
        write!(
            writer,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}\r\n{body}",
            body.len(),
            if close { "Connection: close\r\n" } else { "" }
        )?;
        if close {
            return Ok(());
        }
    }
}

/// The answer to the request `asked`, as JSON.
fn answer(protocol: &str, asked: &str, from: SocketAddr) -> String {
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let client = from.ip().to_canonical().to_string();
    let fields = BTreeMap::from([
        ("pod", variable("HOSTNAME")),
        ("node", variable("NODE_NAME")),
        ("client", client),
        ("protocol", protocol.to_owned()),
        ("asked", asked.to_owned()),
    ]);
    // Serializing a map of strings can't fail.
    format!("{}\n", serde_json::to_string(&fields).unwrap_or_default())
}

/// Prints the page at `url`.
fn fetch(url: &str) -> Result<()> {
    let rest = url.strip_prefix("http://").context("the URL must start with http://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = if host.rsplit(']').next().is_some_and(|end| end.contains(':')) {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let address: SocketAddr = address
        .parse()
        .with_context(|| format!("{host} is not an IP address"))?;
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let (head, body) = response.split_once("\r\n\r\n").context("the answer is not HTTP")?;
    if !head.starts_with("HTTP/1.1 200") {
        bail!("{}", head.lines().next().unwrap_or_default());
    }
    print!("{body}");
    Ok(())
}
