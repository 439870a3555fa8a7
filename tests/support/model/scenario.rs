//! What the stand-in for a model answers: rules over the latest user prompt, each with steps (tool calls) and a text.
//!
//! Knows no protocol. Keeps no state: where a conversation stands is read from each request, so that many sessions can
//! share one server and a session that was moved goes on with another one.
//!
//! Prompts with a meaning, wherever in the prompt they stand:
//! `RUN-CMD:<shell command>` (to the end of the line), `RUN-EDIT`, `RUN-LONG`, `RUN-AGENT`, `RUN-SLEEP`, `RUN-ENV`.
//! Any other first prompt writes and reads `notes/hello.txt`, any other later one is answered in plain text.

/// One thing the model does; `{cwd}`, `{turn}`, `{prompt}` and `{after}` (what follows the matched word on its line)
/// are filled in.
#[derive(Clone, Debug)]
pub enum Step {
    Run(String),
    /// Paths are relative to the working directory that the client declared.
    Write {
        path: String,
        content: String,
    },
    Edit {
        path: String,
        old: String,
        new: String,
    },
    Read(String),
    Agent {
        task: String,
        prompt: String,
    },
    /// Waits for the agents started in this turn. Only for clients that would leave without them.
    AwaitAgents,
}

#[derive(Clone, Debug)]
pub struct Rule {
    /// Any of these in the prompt, compared without case; empty: any prompt.
    words: Vec<String>,
    turn: Option<usize>,
    steps: Vec<Step>,
    text: String,
    side: bool,
}

impl Rule {
    pub fn on(word: &str) -> Rule {
        Rule::on_any(&[word])
    }

    pub fn on_any(words: &[&str]) -> Rule {
        let words = words.iter().map(|word| word.to_lowercase()).collect();
        Rule { words, turn: None, steps: Vec::new(), text: String::from("Done."), side: false }
    }

    /// Only for that user turn; the first is 1.
    pub fn in_turn(mut self, turn: usize) -> Rule {
        self.turn = Some(turn);
        self
    }

    pub fn step(mut self, step: Step) -> Rule {
        self.steps.push(step);
        self
    }

    pub fn run(self, command: &str) -> Rule {
        self.step(Step::Run(command.to_owned()))
    }

    pub fn says(mut self, text: &str) -> Rule {
        self.text = text.to_owned();
        self
    }

    /// A call that the client makes for itself (a title, a summary), no turn of the conversation.
    fn aside(mut self) -> Rule {
        self.side = true;
        self
    }
}

/// Where a conversation stands, as one request tells it.
#[derive(Clone, Debug, Default)]
pub struct Position {
    pub prompt: String,
    /// The number of the latest prompt; a resumed conversation whose history was sent goes on counting.
    pub turn: usize,
    /// Tool results since the latest prompt.
    pub results: usize,
    /// The working directory that the client declared last.
    pub cwd: String,
}

#[derive(Debug)]
pub enum Move {
    Step(Step),
    Text(String),
}

#[derive(Debug)]
pub struct Answer {
    pub next: Move,
    pub side: bool,
}

pub struct Scenario {
    rules: Vec<Rule>,
}

impl Scenario {
    /// The built-in rules; `first` is asked before them.
    pub fn new(first: Vec<Rule>) -> Scenario {
        let mut rules = first;
        rules.extend(built_in());
        Scenario { rules }
    }

    /// Steps that `can` turns down are left out, as if the rule did not have them.
    pub fn answer(&self, at: &Position, can: impl Fn(&Step) -> bool) -> Answer {
        let prompt = at.prompt.to_lowercase();
        let rule = self.rules.iter().find(|rule| {
            rule.turn.is_none_or(|turn| turn == at.turn) && (rule.words.is_empty() || rule.words.iter().any(|word| prompt.contains(word)))
        });
        let Some(rule) = rule else {
            return Answer { next: Move::Text(String::from("No rule matched.")), side: false };
        };
        let fill = |text: &str| fill(text, at, &rule.words);
        let next = match rule.steps.iter().filter(|step| can(step)).nth(at.results) {
            Some(step) => Move::Step(step.map(fill)),
            None => Move::Text(fill(&rule.text)),
        };
        Answer { next, side: rule.side }
    }
}

impl Step {
    fn map(&self, fill: impl Fn(&str) -> String) -> Step {
        match self {
            Step::Run(command) => Step::Run(fill(command)),
            Step::Write { path, content } => Step::Write { path: fill(path), content: fill(content) },
            Step::Edit { path, old, new } => Step::Edit { path: fill(path), old: fill(old), new: fill(new) },
            Step::Read(path) => Step::Read(fill(path)),
            Step::Agent { task, prompt } => Step::Agent { task: fill(task), prompt: fill(prompt) },
            Step::AwaitAgents => Step::AwaitAgents,
        }
    }
}

fn fill(text: &str, at: &Position, words: &[String]) -> String {
    let quoted: String = at.prompt.trim().chars().take(200).collect();
    text.replace("{cwd}", &at.cwd)
        .replace("{turn}", &at.turn.to_string())
        .replace("{after}", after(&at.prompt, words))
        .replace("{prompt}", &quoted)
}

/// The rest of the line behind the first of the words.
fn after<'a>(prompt: &'a str, words: &[String]) -> &'a str {
    // Lower case for ASCII only keeps the byte offsets; the words that use this are ASCII.
    let lower = prompt.to_ascii_lowercase();
    let end = words.iter().find_map(|word| lower.find(word).map(|start| start + word.len()));
    end.and_then(|end| prompt.get(end..)).and_then(|rest| rest.lines().next()).unwrap_or_default().trim()
}

/// The names of all variables, then those that an agent sets, with their values.
const ENVIRONMENT: &str = "env | cut -d= -f1 | sort; echo ---; \
                           env | grep -iE '^(claude|codex|agent|ai_)[A-Z_]*=' | sort";

fn built_in() -> Vec<Rule> {
    let hello = String::from("notes/hello.txt");
    vec![
        Rule::on_any(&["write the title", "concise title", "concise session title", "sentence-case title", "task title"])
            .aside()
            .says(r#"{"title": "Scripted session"}"#),
        Rule::on_any(&["create a detailed summary", "context checkpoint compaction", "handoff summary"])
            .aside()
            .says("<analysis>scripted</analysis>\n<summary>Scripted summary of {turn} turns.</summary>"),
        Rule::on("RUN-CMD:").run("{after}").says("Command run (turn {turn})."),
        Rule::on("RUN-ENV").run(ENVIRONMENT).says("Environment listed (turn {turn})."),
        Rule::on("RUN-LONG").run("seq 1 9000").says("Long output seen (turn {turn})."),
        Rule::on("RUN-SLEEP").run("sleep 8; echo slept").says("Slept (turn {turn})."),
        Rule::on("RUN-AGENT")
            .step(Step::Agent { task: String::from("look around"), prompt: String::from("SUB-TASK: report the working directory.") })
            .step(Step::AwaitAgents)
            .says("The subagent has reported (turn {turn})."),
        Rule::on("SUB-TASK").run("pwd").says("Subagent report: done."),
        Rule::on("RUN-EDIT")
            .step(Step::Read(hello.clone()))
            .step(Step::Edit { path: hello.clone(), old: String::from("first line"), new: String::from("first line, edited") })
            .says("Edited (turn {turn})."),
        Rule::on_any(&[])
            .in_turn(1)
            .step(Step::Write { path: hello.clone(), content: String::from("first line\nsecond line\n") })
            .run("cat notes/hello.txt && wc -c notes/hello.txt")
            .step(Step::Read(hello))
            .says("Wrote notes/hello.txt and looked at it (turn {turn})."),
        Rule::on_any(&[]).says("Plain answer in turn {turn} to: {prompt}"),
    ]
}
