//! `undertone test-sound`: a level meter and the echo of one's own voice, without any network.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::arguments::Arguments;
use super::{Failure, say};
use crate::audio::level::{Level, bar};
use crate::audio::{CallSound, SAMPLE_RATE_HZ, Sound, SoundChange};
use crate::ui::terminal::is_interactive;

/// One's own voice comes back after this: long enough to be told from the voice itself.
const ECHO_DELAY_SAMPLES: usize = SAMPLE_RATE_HZ as usize;
const FRAME_SAMPLES: usize = SAMPLE_RATE_HZ as usize / 50;
/// How often the meter moves at a terminal, and how often a line is printed otherwise.
const METER: Duration = Duration::from_millis(100);
const METER_LINES: Duration = Duration::from_secs(1);
/// Characters of the meter.
const METER_WIDTH: usize = 50;
/// How often sound is moved.
const TURN: Duration = Duration::from_millis(2);

/// Runs until Ctrl-C, or for `seconds`.
///
/// # Errors
/// When a device or file cannot be used.
pub fn run(arguments: &Arguments, seconds: Option<u32>) -> Result<(), Failure> {
    let configured = super::setup::configured_sound(arguments);
    let microphone = arguments.microphone(configured.microphone.as_deref());
    let speaker = arguments.speaker(configured.speaker.as_deref());
    let mut sound = Sound::open(microphone, speaker, Box::new(|_| {}))?;
    if !arguments.json {
        say("Speak: your voice comes back after one second. Use headphones. Ctrl-C ends the test.");
    }
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(u64::from(seconds)));
    let stop = stop_on_signal().map_err(Failure::System)?;
    let call = sound.begin_call();
    Loop::new(call, arguments.json).run(until, stop);
    sound.end_call();
    sound.finish()?;
    Ok(())
}

struct Loop {
    call: CallSound,
    delay: VecDeque<f32>,
    level: Level,
    loudest_dbfs: f32,
    json: bool,
}

impl Loop {
    fn new(mut call: CallSound, json: bool) -> Self {
        let now = Instant::now();
        call.microphone.start(now);
        call.speaker.start(now);
        let delay = VecDeque::from(vec![0.0; ECHO_DELAY_SAMPLES]);
        Self { call, delay, level: Level::default(), loudest_dbfs: f32::MIN, json }
    }

    fn run(mut self, until: Option<Instant>, stop: &'static AtomicBool) {
        let meter = if is_interactive() && !self.json { METER } else { METER_LINES };
        let mut next_meter = Instant::now() + meter;
        while !stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            if until.is_some_and(|until| now >= until) {
                break;
            }
            self.take_changes(now);
            self.move_sound(now);
            if now >= next_meter {
                next_meter = now + meter;
                // A meter nobody reads is no failure.
                let _ = self.show(meter == METER);
            }
            std::thread::sleep(TURN);
        }
        if !self.json {
            say(&format!("\nLoudest: {:.0} dB below full scale.", -self.loudest_dbfs.max(-60.0)));
        }
    }

    fn take_changes(&mut self, now: Instant) {
        while let Ok(change) = self.call.changes.try_recv() {
            match change {
                SoundChange::Microphone(microphone) => {
                    self.call.microphone = microphone;
                    self.call.microphone.start(now);
                }
                SoundChange::Speaker(speaker) => {
                    self.call.speaker = speaker;
                    self.call.speaker.start(now);
                    // What was said while the device was being opened would only make the echo later.
                    self.delay.resize(ECHO_DELAY_SAMPLES, 0.0);
                }
            }
        }
    }

    fn move_sound(&mut self, now: Instant) {
        let mut frame = [0.0; FRAME_SAMPLES];
        while self.call.microphone.read_frame(&mut frame, now) {
            self.level.add(&frame);
            self.delay.extend(frame);
        }
        loop {
            let wanted = self.call.speaker.wanted(now);
            if wanted == 0 {
                break;
            }
            let ready = wanted.min(self.delay.len());
            let mut block: Vec<f32> = self.delay.drain(..ready).collect();
            block.resize(wanted, 0.0);
            self.call.speaker.write(&block, now);
        }
        // Two clocks: what one device brings too much must not become more and more delay.
        while self.delay.len() > 2 * ECHO_DELAY_SAMPLES {
            self.delay.drain(..ECHO_DELAY_SAMPLES);
        }
    }

    fn show(&mut self, in_place: bool) -> io::Result<()> {
        let (dbfs, clipped) = self.level.take();
        self.loudest_dbfs = self.loudest_dbfs.max(dbfs);
        let mut out = io::stdout().lock();
        if self.json {
            let event = serde_json::json!({ "event": "level", "dbfs": dbfs, "clipped": clipped });
            writeln!(out, "{event}")?;
        } else {
            let note = if clipped { "too loud" } else { "        " };
            let (begin, end) = if in_place { ("\r", "") } else { ("", "\n") };
            write!(out, "{begin}[{}] {dbfs:>4.0} dB {note}{end}", bar(dbfs, METER_WIDTH))?;
        }
        out.flush()
    }
}

/// A flag that Ctrl-C and SIGTERM raise, so that a recording is completed.
fn stop_on_signal() -> io::Result<&'static AtomicBool> {
    static STOP: AtomicBool = AtomicBool::new(false);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(crate::net::signals::stop_asked());
        STOP.store(true, Ordering::Relaxed);
    })?;
    Ok(&STOP)
}
