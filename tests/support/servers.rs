//! Git's own servers, over the bare repositories below a machine's home, each on a port of its own on loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::sandbox::Machine;

/// Ends with its test.
pub struct Daemon(Child, u16);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Daemon {
    /// `git daemon` on a port of its own.
    pub fn start(server: &Machine) -> Daemon {
        // Not `git daemon`, which would be a parent that leaves its child behind.
        let program = PathBuf::from(server.git(["--exec-path"]).trim()).join("git-daemon");
        for _ in 0..10 {
            let port = free_port();
            let mut command = server.command(&program);
            command.args(["--listen=127.0.0.1", &format!("--port={port}"), "--export-all", "--enable=receive-pack", "--reuseaddr"]);
            command.arg(format!("--base-path={}", server.home.display())).stdout(Stdio::null()).stderr(Stdio::null());
            let mut daemon = Daemon(command.spawn().expect("git-daemon"), port);
            let deadline = Instant::now() + Duration::from_secs(20);
            while Instant::now() < deadline && daemon.0.try_wait().expect("a child").is_none() {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return daemon;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        panic!("git daemon does not start");
    }

    pub fn address(&self) -> String {
        format!("git://127.0.0.1:{}", self.1)
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port()
}

/// Smart HTTP by `git http-backend`, until the process of the test ends; `None` where this Git speaks none.
pub fn http(server: &Machine) -> Option<String> {
    let exec = PathBuf::from(server.git(["--exec-path"]).trim());
    if !exec.join("git-remote-http").exists() || !exec.join("git-http-backend").exists() {
        return None;
    }
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", socket.local_addr().expect("an address"));
    let (server, backend) = (Arc::new(server.clone()), Arc::new(exec.join("git-http-backend")));
    std::thread::spawn(move || {
        for stream in socket.incoming().flatten() {
            let (server, backend) = (Arc::clone(&server), Arc::clone(&backend));
            std::thread::spawn(move || serve(&server, &backend, stream));
        }
    });
    Some(address)
}

/// One request, answered by Git's own CGI program.
fn serve(server: &Machine, backend: &Path, mut stream: TcpStream) -> Option<()> {
    let mut from = BufReader::new(stream.try_clone().ok()?);
    let line = |from: &mut BufReader<TcpStream>| {
        let mut line = String::new();
        from.read_line(&mut line).ok()?;
        Some(line.trim_end().to_owned())
    };
    let request = line(&mut from)?;
    let [method, target, _] = request.split(' ').collect::<Vec<_>>()[..] else { return None };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut command = server.command(backend);
    command
        .env("GIT_PROJECT_ROOT", &server.home)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REMOTE_USER", "somebody")
        .env("REMOTE_ADDR", "127.0.0.1");
    command.env("PATH_INFO", path).env("QUERY_STRING", query).env("REQUEST_METHOD", method);
    let (mut length, mut chunked) = (0, false);
    loop {
        let header = line(&mut from)?;
        let Some((name, value)) = header.split_once(':') else { break };
        match (name.to_ascii_lowercase().as_str(), value.trim()) {
            ("content-length", value) => length = value.parse().ok()?,
            ("transfer-encoding", "chunked") => chunked = true,
            ("content-type", value) => drop(command.env("CONTENT_TYPE", value)),
            ("content-encoding", value) => drop(command.env("HTTP_CONTENT_ENCODING", value)),
            ("git-protocol", value) => drop(command.env("HTTP_GIT_PROTOCOL", value)),
            ("expect", _) => stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    while chunked {
        let mut chunk = vec![0; usize::from_str_radix(&line(&mut from)?, 16).ok()? + 2];
        from.read_exact(&mut chunk).ok()?;
        chunk.truncate(chunk.len() - 2);
        chunked = !chunk.is_empty();
        body.extend(chunk);
    }
    let mut child = command.env("CONTENT_LENGTH", body.len().to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    let mut stdin = child.stdin.take()?;
    let feeding = std::thread::spawn(move || drop(stdin.write_all(&body)));
    let out = child.wait_with_output().ok()?.stdout;
    feeding.join().ok()?;
    let end = out.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let headers = String::from_utf8_lossy(&out[..end]).into_owned();
    let status = headers.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
    let rest = &out[end + 4..];
    write!(stream, "HTTP/1.1 {status}\r\n{headers}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", rest.len()).ok()?;
    stream.write_all(rest).ok()
}
