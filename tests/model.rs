//! The stand-in for the model, asked over plain sockets: what the agents' tests rest on.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::model::{Kind, ModelServer, Rule, Step};

fn send(server: &ModelServer, raw: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).expect("the server listens");
    stream.write_all(raw).expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server answers and closes");
    answer
}

fn post(server: &ModelServer, path: &str, body: &Value) -> String {
    let body = body.to_string();
    let head = format!("POST {path} HTTP/1.1\r\nX-Api-Key: secret\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    send(server, (head + &body).as_bytes())
}

/// The body of an answer that was not streamed.
fn value(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").expect("headers end");
    serde_json::from_str(body).expect("the body is JSON")
}

fn claude_asks(prompt: &str) -> Value {
    json!({"messages": [
        {"role": "user", "content": [{"type": "text", "text": "<system-reminder>RUN-LONG</system-reminder>"},
                                      {"type": "text", "text": prompt}]},
        {"role": "system", "content": "# Environment\n - Primary working directory: /old\n"},
        {"role": "system", "content": "Environment update\n - Working directory: /srv/new (was /old)\n"}],
        "tools": [{"name": "Bash"}, {"name": "Write"}]})
}

fn codex_asks(prompt: &str) -> Value {
    json!({"input": [
        {"type": "message", "role": "user", "content": [{"type": "input_text",
         "text": "<environment_context>\n  <cwd>/srv/app</cwd></environment_context>"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": prompt}]}],
        "tools": [{"type": "function", "name": "exec_command"}]})
}

#[test]
fn a_command_in_the_prompt_is_run_by_either_client() {
    let server = ModelServer::start();
    let said = value(&post(&server, "/v1/messages?beta=true", &claude_asks("now RUN-CMD: echo '{x}' > y\nmore")));
    assert_eq!(said["stop_reason"], "tool_use");
    assert_eq!(said["content"][1]["name"], "Bash");
    assert_eq!(said["content"][1]["input"]["command"], "echo '{x}' > y");
    let said = value(&post(&server, "/v1/responses", &codex_asks("RUN-CMD:true")));
    let arguments = said["output"][1]["arguments"].as_str().expect("a function call has arguments");
    assert!(arguments.contains(r#""cmd":"true""#), "{arguments}");
}

#[test]
fn paths_are_in_the_directory_declared_last() {
    let server = ModelServer::start();
    let said = value(&post(&server, "/v1/messages", &claude_asks("hello")));
    assert_eq!(said["content"][1]["input"]["file_path"], "/srv/new/notes/hello.txt");
    post(&server, "/v1/responses", &codex_asks("hello"));
    let at: Vec<_> = server.posts().into_iter().map(|request| (request.at.turn, request.at.cwd)).collect();
    assert_eq!(at, [(1, String::from("/srv/new")), (1, String::from("/srv/app"))]);
}

#[test]
fn streams_end_with_their_last_event() {
    let server = ModelServer::start();
    for (path, mut body, first, last) in [
        ("/v1/messages", claude_asks("hello"), "message_start", "message_stop"),
        ("/v1/responses", codex_asks("hello"), "response.created", "response.completed"),
    ] {
        body["stream"] = true.into();
        let answer = post(&server, path, &body);
        let names: Vec<&str> = answer.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
        assert_eq!((names.first(), names.last()), (Some(&first), Some(&last)), "{answer}");
    }
}

#[test]
fn a_chunked_body_is_a_body() {
    let server = ModelServer::start();
    let body = claude_asks("QUOKKA-7731").to_string();
    let (start, end) = body.split_at(17);
    let request = format!(
        "POST /v1/messages HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
         {:x}\r\n{start}\r\n{:X};note=1\r\n{end}\r\n0\r\n\r\n",
        start.len(),
        end.len()
    );
    send(&server, request.as_bytes());
    assert!(server.last_talk_contains("QUOKKA-7731"));
}

#[test]
fn only_the_conversation_counts_as_talk() {
    let server = ModelServer::start();
    send(&server, b"HEAD / HTTP/1.1\r\n\r\nGET /v1/models HTTP/1.1\r\nConnection: close\r\n\r\n");
    post(&server, "/v1/messages/count_tokens", &claude_asks("hello"));
    post(&server, "/v1/messages", &json!({"messages": [{"role": "user", "content": "Please write the title of this."}]}));
    post(&server, "/nothing", &json!({}));
    assert!(server.posts().is_empty());
    let kinds: Vec<Kind> = server.requests().iter().map(|request| request.kind).collect();
    assert_eq!(kinds, [Kind::Other, Kind::Other, Kind::Other, Kind::Side, Kind::Other]);
    assert!(server.requests().iter().all(|request| request.header("x-api-key").is_none()));
    server.forget();
    assert!(server.requests().is_empty());
}

#[test]
fn a_test_can_bring_its_own_rules() {
    let rule = Rule::on("PING").in_turn(1).step(Step::Read(String::from("a b"))).says("pong {turn}");
    let server = ModelServer::playing(vec![rule]);
    let mut body = codex_asks("ping");
    let said = value(&post(&server, "/v1/responses", &body));
    assert!(said["output"][1]["arguments"].as_str().is_some_and(|text| text.contains("cat 'a b'")));
    let input = body["input"].as_array_mut().expect("input is a list");
    input.push(json!({"type": "function_call_output", "output": "..."}));
    let said = value(&post(&server, "/v1/responses", &body));
    assert_eq!(said["output"][0]["content"][0]["text"], "pong 1");
}

#[test]
fn nothing_is_left_when_the_server_is_dropped() {
    let server = ModelServer::start();
    let idle = TcpStream::connect(("127.0.0.1", server.port())).expect("the server listens");
    let port = server.port();
    drop(server);
    let mut buffer = [0];
    assert_eq!((&idle).read(&mut buffer).expect("the connection was closed"), 0);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}
