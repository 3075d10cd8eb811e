//! The thread that writes to standard output: a reader that is slow or gone never holds up a call.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::event_line;
use super::terminal;
use super::warning_box::framed;
use crate::audio::SoundNotice;
use crate::core::ceremony::{Question, ROUNDS};
use crate::core::event::{Event, Side};

/// Makes a terminal sound or flash: somebody calls.
const BELL: char = '\u{7}';
/// Lines that wait for a slow reader; beyond that they are dropped.
const WAITING: usize = 256;

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Sentences for people.
    People,
    /// One line per event, its name first.
    Lines,
    /// One JSON object per line.
    Json,
}

/// What there is to show.
#[derive(Debug, Clone)]
pub enum Shown {
    /// From the phone.
    Event(Event),
    /// A sound device came or went.
    Sound(SoundNotice),
    /// Something to be careful about.
    Warning(String),
    /// A line that is no command.
    Mistake(String),
    /// For people only: which keys work.
    Hint(&'static str),
}

/// The running thread.
#[derive(Debug)]
pub struct Printer {
    lines: Option<SyncSender<String>>,
    thread: Option<JoinHandle<()>>,
    style: Style,
}

impl Printer {
    /// Starts writing to standard output.
    #[must_use]
    pub fn start(style: Style) -> Self {
        let (lines, received) = sync_channel(WAITING);
        let thread = std::thread::Builder::new().name("printer".to_owned()).spawn(move || write_lines(&received)).ok();
        Self { lines: Some(lines), thread, style }
    }

    /// Shows nothing at all.
    #[must_use]
    pub fn silent() -> Self {
        Self { lines: None, thread: None, style: Style::People }
    }

    /// Whether people read it, not programs.
    #[must_use]
    pub fn is_for_people(&self) -> bool {
        self.style == Style::People
    }

    /// Shows a warning.
    pub fn warn(&self, text: &str) {
        self.show(&Shown::Warning(text.to_owned()));
    }

    /// Shows something, if this style shows it at all.
    pub fn show(&self, shown: &Shown) {
        if let (Some(line), Some(lines)) = (render(shown, self.style), &self.lines) {
            let _ = lines.try_send(line);
        }
    }
}

impl Drop for Printer {
    fn drop(&mut self) {
        self.lines = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write_lines(lines: &Receiver<String>) {
    for line in lines {
        let mut out = io::stdout().lock();
        // Nobody reads any more: the call goes on.
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}

fn render(shown: &Shown, style: Style) -> Option<String> {
    match (shown, style) {
        (Shown::Event(Event::Statistics(_)), Style::People) => None,
        (Shown::Event(event @ Event::Ringing { at: Side::Here, .. }), Style::People) => {
            Some(format!("{}{BELL}", event.sentence()))
        }
        (Shown::Event(event), Style::People) if event.is_loud() => {
            let columns = terminal::columns().unwrap_or(terminal::USUAL_COLUMNS);
            Some(format!("{}{BELL}", framed(&event.sentence(), columns)))
        }
        (Shown::Event(Event::Compare { name, question, .. }), Style::People) => Some(comparison(name, question)),
        (Shown::Event(event), Style::People) => Some(event.sentence()),
        (Shown::Event(event), Style::Lines) => Some(event_line::line(event)),
        (Shown::Event(event), Style::Json) => Some(event.json_line()),
        (Shown::Sound(notice), Style::People) => Some(sound_sentence(*notice)),
        (Shown::Sound(notice), Style::Lines) => Some(format!("{} {}", sound_name(*notice), sound_sentence(*notice))),
        (Shown::Sound(notice), Style::Json) => Some(json(sound_name(*notice), &sound_sentence(*notice))),
        (Shown::Warning(text), Style::People) => Some(format!("Warning: {text}")),
        (Shown::Warning(text), Style::Lines) => Some(format!("warning {text}")),
        (Shown::Warning(text), Style::Json) => Some(json("warning", text)),
        (Shown::Mistake(text), Style::People) => Some(text.clone()),
        (Shown::Mistake(text), Style::Lines) => Some(format!("not_done {text}")),
        (Shown::Mistake(text), Style::Json) => Some(json("not_done", text)),
        (Shown::Hint(text), Style::People) => Some((*text).to_owned()),
        (Shown::Hint(_), Style::Lines | Style::Json) => None,
    }
}

/// A question, line by line.
fn comparison(name: &str, question: &Question) -> String {
    let mut text = format!("\nIs this {name}, and nobody in between? Check {} of {ROUNDS}.\n", question.round);
    text.push_str(&format!("  Read aloud:  {}\n  Then pick what you hear:\n", question.shown()));
    for (choice, number) in question.shown_choices().iter().zip(1..) {
        text.push_str(&format!("    {number}  {choice}\n"));
    }
    text.push_str("    0  none of these");
    text
}

fn sound_name(notice: SoundNotice) -> &'static str {
    match notice {
        SoundNotice::Lost(_) => "sound_lost",
        SoundNotice::Back(_) => "sound_back",
    }
}

fn sound_sentence(notice: SoundNotice) -> String {
    match notice {
        SoundNotice::Lost(end) => format!("The {end} is gone; the call goes on without it."),
        SoundNotice::Back(end) => format!("The {end} is back."),
    }
}

fn json(event: &str, sentence: &str) -> String {
    serde_json::json!({ "event": event, "sentence": sentence }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::error::End;
    use crate::core::call::CallId;

    #[test]
    fn a_call_rings_the_bell_of_a_terminal_and_only_a_call() {
        let ringing = |at| Shown::Event(Event::Ringing { call: CallId(1), at, other: "bob@gw.example".into() });
        let rings = |shown: &Shown, style| render(shown, style).is_some_and(|line| line.contains(BELL));
        assert!(rings(&ringing(Side::Here), Style::People));
        assert!(!rings(&ringing(Side::There), Style::People));
        assert!(!rings(&ringing(Side::Here), Style::Lines) && !rings(&ringing(Side::Here), Style::Json));
    }

    #[test]
    fn a_loud_warning_is_framed_for_people_and_a_plain_event_for_programs() {
        let loud = Shown::Event(Event::KeyChanged { call: CallId(1), name: "Bob".into(), heard: false });
        let people = render(&loud, Style::People).unwrap_or_default();
        assert!(people.contains('┏') && people.contains("STOP") && people.contains(BELL), "{people}");
        let line = render(&loud, Style::Lines).unwrap_or_default();
        assert!(line.starts_with("key_changed STOP") && !line.contains('\n'), "{line}");
        let json: serde_json::Value =
            serde_json::from_str(&render(&loud, Style::Json).unwrap_or_default()).unwrap_or_default();
        assert_eq!((&json["event"], &json["name"]), (&"key_changed".into(), &"Bob".into()));
    }

    #[test]
    fn people_see_the_choices_line_by_line_and_never_what_they_are_to_hear_elsewhere() {
        let question = Question {
            round: 2,
            read: ["aardvark", "adroitness"],
            choices: [["a", "b"], ["c", "d"], ["e", "f"], ["g", "h"]],
            read_digits: "0001".into(),
            choices_digits: ["1111", "2222", "3333", "4444"].map(String::from),
            digits: true,
        };
        let shown = |question| Shown::Event(Event::Compare { call: CallId(1), name: "Bob".into(), question });
        let text = render(&shown(Box::new(question.clone())), Style::People).unwrap_or_default();
        assert!(text.contains("Check 2 of 2") && text.contains("  0001\n") && text.contains("4  4444\n"), "{text}");
        let text = render(&shown(Box::new(Question { digits: false, ..question })), Style::Lines).unwrap_or_default();
        assert_eq!(text, "compare 2 read aardvark adroitness | a b | c d | e f | g h");
    }

    #[test]
    fn every_style_says_that_a_device_is_gone() {
        let lost = Shown::Sound(SoundNotice::Lost(End::Microphone));
        assert_eq!(
            render(&lost, Style::People).as_deref(),
            Some("The microphone is gone; the call goes on without it.")
        );
        assert!(render(&lost, Style::Lines).is_some_and(|line| line.starts_with("sound_lost ")));
        let json: serde_json::Value =
            serde_json::from_str(&render(&lost, Style::Json).unwrap_or_default()).unwrap_or_default();
        assert_eq!(json["event"], "sound_lost");
    }

    #[test]
    fn people_are_spared_figures_and_programs_are_spared_hints() {
        let hint = Shown::Hint("Keys: q quit");
        assert!(render(&hint, Style::People).is_some());
        assert!(render(&hint, Style::Json).is_none());
        let ready = Shown::Event(Event::Ready { address: "alice@gw.example".into() });
        assert_eq!(render(&ready, Style::Lines).as_deref(), Some("ready alice@gw.example"));
    }
}
