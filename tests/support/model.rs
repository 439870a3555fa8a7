//! A stand-in for the model behind a coding agent: an HTTP server on loopback that plays a scenario to the real clients
//! and remembers every request, so that a test can ask whether a resumed session really sent its earlier conversation.
//!
//! Knows nothing of the clients' processes or files, nor of this project. Each server has its own port and its own
//! memory, so tests run side by side. Dropping it closes every connection and joins every thread: nothing stays behind.
//!
//! `model/http.rs` reads and writes the bytes, `model/scenario.rs` decides, and `model/anthropic.rs` and
//! `model/responses.rs` each say it in one protocol; a further protocol is a further file and one line in `serve`.
mod anthropic;
mod http;
mod responses;
mod scenario;

use std::io::{self, BufReader, BufWriter, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

pub use scenario::{Position, Rule, Step};

use scenario::Scenario;

pub struct ModelServer {
    port: u16,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

/// One request as it came in.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// Names in lower case; without keys and cookies.
    pub headers: Vec<(String, String)>,
    pub body: Value,
    pub kind: Kind,
    /// Where the conversation stood; only for talk and side calls.
    pub at: Position,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The conversation itself, a subagent's included.
    Talk,
    /// Titles, summaries and other calls that a client makes for itself.
    Side,
    /// A question about the size of a prompt, the list of models, a look whether the server is there.
    Other,
}

impl ModelServer {
    /// Plays the built-in scenario, which `model/scenario.rs` describes.
    pub fn start() -> ModelServer {
        ModelServer::playing(Vec::new())
    }

    /// Plays these rules before the built-in ones.
    pub fn playing(rules: Vec<Rule>) -> ModelServer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let shared = Arc::new(Shared {
            scenario: Scenario::new(rules),
            requests: Mutex::default(),
            connections: Mutex::default(),
            stopping: AtomicBool::new(false),
        });
        let for_acceptor = Arc::clone(&shared);
        let acceptor = thread::spawn(move || accept(&listener, &for_acceptor));
        ModelServer { port, shared, acceptor: Some(acceptor) }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Everything received, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }

    /// The requests of the conversations only.
    pub fn posts(&self) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|request| request.kind == Kind::Talk);
        requests
    }

    /// The latest request of a conversation. Panics without one: then the agent never got as far as its model.
    pub fn last_talk(&self) -> Request {
        self.posts().pop().expect("the agent called its model")
    }

    pub fn last_talk_contains(&self, word: &str) -> bool {
        self.last_talk().says(word)
    }

    /// Starts the memory anew, so that what follows belongs to the next act of the test.
    pub fn forget(&self) {
        lock(&self.shared.requests).clear();
    }
}

impl Request {
    /// What was said so far: prompts, answers, tool calls and their results, but not the client's standing instructions.
    pub fn conversation(&self) -> &Value {
        if self.body["messages"].is_null() { &self.body["input"] } else { &self.body["messages"] }
    }

    pub fn says(&self, word: &str) -> bool {
        all_text(self.conversation()).contains(word)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        http::find(&self.headers, name)
    }

    /// The native id of the session that is talking, which both clients send along (a Codex subagent is its own).
    pub fn session(&self) -> Option<&str> {
        self.header("x-claude-code-session-id").or_else(|| self.header("thread-id"))
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // `accept` has no time limit; a connection wakes it, and it then sees the flag.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        for connection in lock(&self.shared.connections).drain(..) {
            let _ = connection.stream.shutdown(Shutdown::Both);
            let _ = connection.thread.join();
        }
    }
}

/// What a protocol makes of a request: the same answer whole and as a stream.
struct Reply {
    at: Position,
    whole: Value,
    events: Vec<(&'static str, Value)>,
    side: bool,
}

struct Shared {
    scenario: Scenario,
    requests: Mutex<Vec<Request>>,
    connections: Mutex<Vec<Connection>>,
    stopping: AtomicBool,
}

struct Connection {
    stream: TcpStream,
    thread: JoinHandle<()>,
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok((stream, to_close)) = stream.and_then(|stream| Ok((stream.try_clone()?, stream))) else {
            continue;
        };
        let for_thread = Arc::clone(shared);
        let thread = thread::spawn(move || {
            // A client that went away in mid-sentence is no fault of the test; what it sent is in the memory.
            let _ = converse(&stream, &for_thread);
            let _ = stream.shutdown(Shutdown::Both);
        });
        let mut connections = lock(&shared.connections);
        connections.retain(|connection| !connection.thread.is_finished());
        connections.push(Connection { stream: to_close, thread });
    }
}

fn converse(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    let mut input = BufReader::new(stream);
    let mut output = BufWriter::new(stream);
    while let Some(request) = http::read(&mut input)? {
        let streamed = serve(&mut output, &request, shared)?;
        if streamed || request.wants_close() {
            break;
        }
    }
    Ok(())
}

/// Answers one request; true if the answer was a stream, which only the end of the connection ends.
fn serve(out: &mut impl Write, request: &http::Incoming, shared: &Shared) -> io::Result<bool> {
    let body = serde_json::from_slice(&request.body).unwrap_or_default();
    let route = request.route();
    let post = request.method == "POST";
    let reply = if post && route.ends_with("/messages") {
        anthropic::reply(&body, &shared.scenario)
    } else if post && route.ends_with("/responses") {
        responses::reply(&body, &shared.scenario)
    } else {
        let (status, value) = small_talk(request, &body);
        shared.remember(request, body, Kind::Other, Position::default());
        http::write_json(out, request, status, &value)?;
        return Ok(false);
    };
    let streamed = body["stream"] == true;
    let kind = if reply.side { Kind::Side } else { Kind::Talk };
    // Before the answer: when the client is done, the request must be there to be asked for.
    shared.remember(request, body, kind, reply.at);
    if streamed {
        http::write_events(out, &reply.events)?;
    } else {
        http::write_json(out, request, 200, &reply.whole)?;
    }
    Ok(streamed)
}

/// What clients ask besides the conversation.
fn small_talk(request: &http::Incoming, body: &Value) -> (u16, Value) {
    match (&*request.method, request.route()) {
        ("HEAD", _) => (200, json!({})),
        ("POST", route) if route.ends_with("/count_tokens") => (200, anthropic::token_count(body)),
        ("GET", route) if route.ends_with("/models") => (200, json!({"object": "list", "data": [], "models": [], "has_more": false})),
        _ => (404, json!({"error": {"type": "not_found_error", "message": "not served here"}})),
    }
}

impl Shared {
    fn remember(&self, request: &http::Incoming, body: Value, kind: Kind, at: Position) {
        const SECRET: [&str; 4] = ["authorization", "x-api-key", "cookie", "proxy-authorization"];
        let mut headers = request.headers.clone();
        headers.retain(|(name, _)| !SECRET.contains(&name.as_str()));
        let (method, path) = (request.method.clone(), request.path.clone());
        lock(&self.requests).push(Request { method, path, headers, body, kind, at });
    }
}

/// A panic in one connection's thread must not hide what the others have received.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Unique over processes, too: a session that moves meets several servers and must not see an id twice.
fn new_id(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}{:08x}{nanos:016x}{count:04x}", std::process::id())
}

/// All strings inside a JSON value, one a line.
fn all_text(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text}\n"),
        Value::Array(list) => list.iter().map(all_text).collect(),
        Value::Object(map) => map.values().map(all_text).collect(),
        _ => String::new(),
    }
}

/// A rough number of tokens: the clients show it and decide by it when to compact.
fn size(body: &Value) -> usize {
    body.to_string().len() / 4
}

fn join(cwd: &str, path: &str) -> String {
    Path::new(cwd).join(path).to_string_lossy().into_owned()
}
