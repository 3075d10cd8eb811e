//! `call`, `listen`, `echo`, `headless` and the check of `setup`: a phone, its sound, and who sits in front of it.

use std::io::{self, BufRead, Read};
use std::path::Path;
use std::time::SystemTime;

use rand_core::{OsRng, TryRngCore};
use tokio::sync::mpsc;
use undertone_config::{HostPort, PhoneConfig, Secret, SoundConfig, write_private};

use super::arguments::{Arguments, DirectAddress};
use super::face::{Face, Purpose};
use super::setup::paths;
use super::{Failure, passphrase};
use crate::audio::{MicrophoneChoice, Sound, SoundNotice, SpeakerChoice};
use crate::core::command::Command;
use crate::core::contacts::Contacts;
use crate::core::phone_settings::{Account, Direct, Mode, Settings};
use crate::keeping::contacts_file::ContactsFile;
use crate::keeping::identity_file::KeptIdentity;
use crate::net::direct::DirectSockets;
use crate::net::driver::{self, Input, Kept, Reach};
use crate::net::trust::Trust;
use crate::ui::command_line::{self, MAX_LINE_LEN};
use crate::ui::printer::{Printer, Shown, Style};
use crate::ui::terminal::{TerminalMode, is_interactive};

/// Keys and lines that wait for the phone; the reader of standard input waits beyond that.
const INPUTS: usize = 16;
/// Notices of the sound thread; beyond that the newest are dropped.
const NOTICES: usize = 16;
/// A line longer than this is cut, which makes it no command.
const CUT_LEN: u64 = 4 * MAX_LINE_LEN as u64;

/// Warns of what a direct call gives away.
const DIRECT_WARNING: &str = "direct calls: sound is encrypted, but who calls whom is not, and the other phone learns \
     this machine's network address. Not for everyday use; never saved.";

/// Said when there is nothing kept to be known by.
const TEMPORARY_WARNING: &str = "no identity is kept, so this phone has another key at every start and nobody can \
     keep it as verified: make one with `undertone identity create`.";

/// Said to who waits for calls that cannot come.
const NOBODY_HINT: &str = "Nobody can call this phone yet: make somebody a link with `undertone contact link NAME`, or \
     let everybody ring with `undertone contact strangers on`.";

/// Runs a phone for one purpose.
///
/// # Errors
/// When it cannot be started or used, or its call did not happen.
pub(super) fn run(arguments: &Arguments, purpose: Purpose, auto_answer: bool) -> Result<(), Failure> {
    let direct = arguments.direct_address()?;
    let (config, paths) = match &direct {
        Some(_) => (None, None),
        None => {
            let paths = paths(arguments)?;
            let config = PhoneConfig::load(&paths.config_file())?;
            (Some(config), Some(paths))
        }
    };
    let configured = config.as_ref().map(|config| config.sound.clone()).unwrap_or_default();
    let (notices, notices_received) = mpsc::channel(NOTICES);
    let sound = open_sound(arguments, &purpose, &configured, notices)?;
    // Only now, so that nothing is written when a device is missing.
    let kept = paths.as_ref().map(|paths| passphrase::identity(arguments, paths)).transpose()?.flatten();
    let folder = paths.as_ref().map(|paths| paths.folder().to_owned());
    let instance = paths.map(|paths| instance(&paths.folder().join("instance"))).unwrap_or_default();
    let style = match (&purpose, arguments.json) {
        (_, true) => Style::Json,
        (Purpose::Headless, false) => Style::Lines,
        (Purpose::Call { .. } | Purpose::Listen | Purpose::Echo | Purpose::Check, false) => Style::People,
    };
    let person = is_interactive() && style == Style::People;
    let hide_from = config.as_ref().is_some_and(|config| config.hide_from);
    let kept = own_kept(kept, folder.as_deref(), hide_from)?;
    let printer = Printer::start(style);
    tell_beforehand(&printer, &purpose, direct.is_some(), &kept);
    let keys_mode = if person { TerminalMode::keys() } else { None };
    let (inputs, inputs_received) = mpsc::channel(INPUTS);
    read_inputs(&purpose, person, inputs).map_err(Failure::System)?;
    let face = Face::new(purpose, printer, person);
    let result = runtime()?.block_on(async {
        let (settings, reach) = match (direct, config) {
            (Some(direct), _) => direct_phone(direct, arguments, auto_answer).await?,
            (None, Some(config)) => gateway_phone(config, instance, auto_answer),
            (None, None) => return Err(Failure::NobodyToAsk("the account")),
        };
        let (face, sound) = driver::run(settings, kept, reach, sound, inputs_received, notices_received, face).await;
        let outcome = face.outcome();
        sound.finish()?;
        outcome
    });
    drop(keys_mode);
    result
}

/// What a person must know before anything happens.
fn tell_beforehand(printer: &Printer, purpose: &Purpose, direct: bool, kept: &Kept) {
    match &kept.contacts {
        _ if direct => printer.warn(DIRECT_WARNING),
        _ if kept.identity.is_none() => printer.warn(TEMPORARY_WARNING),
        Some((_, contacts)) if *purpose == Purpose::Listen && nobody_may_ring(contacts) => {
            printer.show(&Shown::Hint(NOBODY_HINT));
        }
        Some(_) | None => {}
    }
}

fn nobody_may_ring(contacts: &Contacts) -> bool {
    let anybody = contacts.strangers_may_ring() || contacts.has_public_link();
    !anybody && contacts.links().is_empty() && contacts.people().next().is_none()
}

/// Connects and registers once, as `setup` does before it saves.
///
/// # Errors
/// When the gateway cannot be reached or trusted, or refuses the account.
pub(super) fn check_account(config: &PhoneConfig) -> Result<(), Failure> {
    let copy = PhoneConfig {
        address: config.address.clone(),
        password: Secret::new(config.password.expose().to_owned()),
        gateway: config.gateway.clone(),
        pin: config.pin,
        sound: SoundConfig::default(),
        hide_from: config.hide_from,
    };
    let (_no_notices, notices) = mpsc::channel(1);
    // Kept open: a closed channel of inputs is not a wish to stop.
    let (_no_inputs, inputs) = mpsc::channel(1);
    let sound = Sound::open(MicrophoneChoice::Silence, SpeakerChoice::Nowhere, Box::new(|_| {}))?;
    let face = Face::new(Purpose::Check, Printer::silent(), false);
    runtime()?.block_on(async {
        let (settings, reach) = gateway_phone(copy, random_instance(), false);
        driver::run(settings, Kept::default(), reach, sound, inputs, notices, face).await.0.outcome()
    })
}

/// What the phone knows from earlier: itself, its contacts, and how it wants to be shown.
fn own_kept(kept: Option<KeptIdentity>, folder: Option<&Path>, hide_from: bool) -> Result<Kept, Failure> {
    let (Some(kept), Some(folder)) = (kept, folder) else { return Ok(Kept { hide_from, ..Kept::default() }) };
    let contacts = ContactsFile::open(folder, kept.contacts_key)?;
    Ok(Kept { identity: Some(kept.identity), contacts: Some(contacts), hide_from })
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::System)
}

fn open_sound(
    arguments: &Arguments,
    purpose: &Purpose,
    configured: &SoundConfig,
    notices: mpsc::Sender<SoundNotice>,
) -> Result<Sound, Failure> {
    if matches!(purpose, Purpose::Echo) {
        return Ok(Sound::echo());
    }
    let notify = Box::new(move |notice| {
        let _ = notices.try_send(notice);
    });
    let microphone = arguments.microphone(configured.microphone.as_deref());
    let speaker = arguments.speaker(configured.speaker.as_deref());
    Ok(Sound::open(microphone, speaker, notify)?)
}

fn gateway_phone(config: PhoneConfig, instance: String, auto_answer: bool) -> (Settings, Reach) {
    let PhoneConfig { address, password, gateway, pin, .. } = config;
    let domain = address.domain().as_str().to_owned();
    let trust = pin.map_or_else(|| Trust::Domain(domain.clone()), Trust::Pin);
    let account = Account { name: address.name().as_str().to_owned(), domain, password, instance };
    let settings = Settings { mode: Mode::Gateway(account), auto_answer, today: SystemTime::now() };
    (settings, gateway_reach(gateway, trust))
}

fn gateway_reach(gateway: HostPort, trust: Trust) -> Reach {
    Reach::Gateway { gateway, trust }
}

async fn direct_phone(
    direct: DirectAddress,
    arguments: &Arguments,
    auto_answer: bool,
) -> Result<(Settings, Reach), Failure> {
    let typed = arguments.direct.clone().unwrap_or_default();
    let unusable = |why: io::Error| Failure::Direct { address: typed.clone(), why };
    let sockets = DirectSockets::bind(direct.address).await.map_err(unusable)?;
    let media_port = sockets.media().local_addr().map_err(unusable)?.port();
    let shown_address = format!("sip:{}@{}", direct.name, sockets.local());
    let mode = Mode::Direct(Direct { name: direct.name, media_port, shown_address });
    Ok((Settings { mode, auto_answer, today: SystemTime::now() }, Reach::Direct(sockets)))
}

/// The name of this phone among the phones of its account (RFC 5626 §4.1), kept so that a restarted phone takes its
/// own place again. Where it cannot be kept, a new one does too.
fn instance(file: &std::path::Path) -> String {
    let kept = std::fs::read_to_string(file).ok().map(|text| text.trim().to_owned());
    if let Some(kept) = kept.filter(|text| is_instance(text)) {
        return kept;
    }
    let fresh = random_instance();
    let _ = write_private(file, fresh.as_bytes());
    fresh
}

fn is_instance(text: &str) -> bool {
    text.strip_prefix("urn:uuid:")
        .is_some_and(|uuid| uuid.len() == 36 && uuid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'))
}

/// A version 4 UUID (RFC 9562 §5.4) as a URN.
fn random_instance() -> String {
    let mut bytes = [0; 16];
    rand_core::RngCore::fill_bytes(&mut OsRng.unwrap_err(), &mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("urn:uuid:{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Reads lines (headless) or keys (a person at a terminal) on a thread of its own; both block.
fn read_inputs(purpose: &Purpose, person: bool, inputs: mpsc::Sender<Input>) -> io::Result<()> {
    let read: fn(&mut dyn BufRead, &mpsc::Sender<Input>) = match purpose {
        Purpose::Headless => read_lines,
        Purpose::Call { .. } | Purpose::Listen | Purpose::Echo if person => read_keys,
        Purpose::Call { .. } | Purpose::Listen | Purpose::Echo | Purpose::Check => return Ok(()),
    };
    let reader = std::thread::Builder::new().name("input".to_owned());
    reader.spawn(move || read(&mut io::stdin().lock(), &inputs)).map(drop)
}

fn read_lines(stdin: &mut dyn BufRead, inputs: &mpsc::Sender<Input>) {
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = stdin.take(CUT_LEN).read_until(b'\n', &mut line);
        if !matches!(read, Ok(count) if count > 0) {
            // Whoever drives this phone is gone.
            let _ = inputs.blocking_send(Input::Command(Command::Quit));
            return;
        }
        let parsed = command_line::parse(&String::from_utf8_lossy(&line));
        let sent = match parsed {
            Ok(commands) => commands.into_iter().try_for_each(|command| inputs.blocking_send(Input::Command(command))),
            Err(mistake) => inputs.blocking_send(Input::Mistake(mistake.to_string())),
        };
        if sent.is_err() {
            return;
        }
    }
}

fn read_keys(stdin: &mut dyn BufRead, inputs: &mpsc::Sender<Input>) {
    for byte in stdin.bytes() {
        let Ok(byte) = byte else { return };
        if inputs.blocking_send(Input::Key(char::from(byte))).is_err() {
            return;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_instance_is_kept_privately_and_replaced_when_broken() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("instance");
        let first = instance(&file);
        assert!(is_instance(&first), "{first}");
        assert_eq!(instance(&file), first);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&file, "urn:uuid:x\r\nEvil: 1").unwrap();
        let second = instance(&file);
        assert!(is_instance(&second) && second != first);
    }

    #[test]
    fn lines_become_commands_mistakes_are_told_and_the_end_quits() {
        let (inputs, mut received) = mpsc::channel(16);
        let long = "x".repeat(3 * MAX_LINE_LEN);
        let text = format!("dial bob\n\nnonsense\n{long}\nmute");
        read_lines(&mut text.as_bytes(), &inputs);
        let mut seen = Vec::new();
        while let Ok(input) = received.try_recv() {
            seen.push(match input {
                Input::Command(command) => format!("{command:?}"),
                Input::Mistake(why) => why,
                Input::Key(key) => key.to_string(),
            });
        }
        assert_eq!(seen.len(), 5, "{seen:?}");
        assert!(seen[0].starts_with("Dial") && seen[1].contains("unknown") && seen[2].contains("too long"), "{seen:?}");
        assert_eq!(seen[3..], ["Mute(true)", "Quit"]);
    }
}
