//! Other makers' phones, as Debian packages them: `baresip` and `linphonec`. They speak from a wav file and record
//! what they hear into another, so that they need no sound device.

use super::island::{Island, prefixed};
use super::process::{LiveError, Process};
use super::speech::{read_wav, write_wav};
use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a peer may take to end.
const END: Duration = Duration::from_secs(10);
/// Silence after baresip's speech: it hangs up when its file ends, and must hear ours to the end.
const TAIL_MS: usize = 3_000;

/// How a peer protects its sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// DTLS-SRTP (RFC 5763).
    Dtls,
    /// Keys in the signalling (RFC 4568).
    Sdes,
    /// ZRTP (RFC 6189) and nothing in the signalling.
    Zrtp,
    /// None.
    Plain,
}

/// A running phone of another maker.
pub struct Peer {
    /// The process; its output is not JSON.
    pub process: Process,
    /// Under which it can be called.
    pub address: String,
    kind: Kind,
    folder: PathBuf,
}

enum Kind {
    Baresip,
    Linphone,
}

impl Peer {
    /// Debian's baresip, which answers by itself and says `speech` (48 kHz mono).
    pub fn baresip(island: &Island, folder: &Path, protection: Protection, speech: &[f32]) -> Result<Self, LiveError> {
        let (port, said) = (free_port()?, folder.join("baresip-says.wav"));
        let mut samples = speech.to_vec();
        samples.resize(speech.len() + TAIL_MS * 48, 0.0);
        write_wav(&said, &samples, 2)?;
        let media = match protection {
            Protection::Dtls => ";mediaenc=dtls_srtp",
            Protection::Sdes => ";mediaenc=srtp-mand",
            Protection::Zrtp => return Err(LiveError::Sound("Debian's baresip has no ZRTP".into())),
            Protection::Plain => "",
        };
        let modules = ["stdio.so", "opus.so", "aufile.so", "aubridge.so", "sndfile.so", "dtls_srtp.so", "srtp.so"];
        let modules: String = modules.iter().map(|module| format!("module {module}\n")).collect();
        // The player leads nowhere: what is heard is written by the sndfile module.
        let config = format!(
            "sip_listen 127.0.0.1:{port}\nnet_interface 127.0.0.1\nrtcp_mux yes\naudio_player aubridge,nowhere\n\
             audio_source aufile,{}\nsnd_path {}\nmodule_path /usr/lib/baresip/modules\n{modules}\
             module_tmp uuid.so\nmodule_tmp account.so\nmodule_app menu.so\n",
            said.display(),
            folder.display()
        );
        let account = format!("<sip:peer@127.0.0.1>;regint=0;audio_codecs=opus/48000/2;answermode=auto{media}\n");
        for (name, text) in [("config", config), ("accounts", account)] {
            write(&folder.join(name), &text)?;
        }
        let process = Process::start("baresip", prefixed(&island.prefix(), "baresip").arg("-f").arg(folder))?;
        let mut peer =
            Self { process, address: format!("sip:peer@127.0.0.1:{port}"), kind: Kind::Baresip, folder: folder.into() };
        peer.process.expect_line("baresip is ready", END)?;
        Ok(peer)
    }

    /// Debian's linphonec, which answers by itself and plays `speech`.
    pub fn linphone(island: &Island, folder: &Path, protection: Protection, speech: &[f32]) -> Result<Self, LiveError> {
        let (port, media_port) = (free_port()?, free_port()?);
        let said = folder.join("linphone-says.wav");
        write_wav(&said, speech, 1)?;
        fs::create_dir_all(folder.join(".local/share/linphone"))
            .map_err(|reason| LiveError::Io { what: "making linphone's folder".into(), reason })?;
        let (encryption, mandatory) = match protection {
            Protection::Dtls => ("dtls", 1),
            Protection::Sdes => ("srtp", 1),
            Protection::Zrtp => ("zrtp", 1),
            Protection::Plain => ("none", 0),
        };
        let config = format!(
            "[sip]\nsip_port={port}\nsip_tcp_port=0\nsip_tls_port=0\nbind_address=127.0.0.1\n\
             contact=sip:peer@127.0.0.1\nmedia_encryption={encryption}\nmedia_encryption_mandatory={mandatory}\n\
             [net]\nfirewall_policy=none\n[rtp]\naudio_rtp_port={media_port}\nrtcp_mux=1\nsymmetric=1\n\
             [audio_codec_0]\nmime=opus\nrate=48000\nchannels=2\nenabled=1\nrecv_fmtp=useinbandfec=1\n"
        );
        let rc = folder.join("linphonerc");
        write(&rc, &config)?;
        let mut command = prefixed(&island.prefix(), "linphonec");
        command.arg("-a").arg("-c").arg(&rc).env("HOME", folder).current_dir(folder);
        let process = Process::start("linphonec", &mut command)?;
        let mut peer = Self {
            process,
            address: format!("sip:peer@127.0.0.1:{port}"),
            kind: Kind::Linphone,
            folder: folder.into(),
        };
        peer.process.say("soundcard use files")?;
        peer.process.expect_line("Using wav files", END)?;
        peer.process.say("ipv6 disable")?;
        peer.process.say(&format!("play {}", said.display()))?;
        peer.process.say(&format!("record {}", folder.join("linphone-heard.wav").display()))?;
        Ok(peer)
    }

    /// Calls one of our phones.
    pub fn call(&mut self, address: &str) -> Result<(), LiveError> {
        match self.kind {
            Kind::Baresip => self.process.say(&format!("/dial {address}")),
            Kind::Linphone => self.process.say(&format!("call {address}")),
        }
    }

    /// Ends the phone; what it heard in its last call, at 48 kHz.
    pub fn quit(mut self) -> Result<Vec<f32>, LiveError> {
        if matches!(self.kind, Kind::Linphone) {
            // Its recording is complete when its call is.
            self.process.expect_line(" ended", END)?;
        }
        self.process.say(self.kind.bye())?;
        self.process.finish(END);
        let entries = fs::read_dir(&self.folder).map_err(|reason| LiveError::Io { what: "listing".into(), reason })?;
        let mut files: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.file_name().is_some_and(|name| self.kind.records_into(&name.to_string_lossy())))
            .collect();
        files.sort();
        let last =
            files.pop().ok_or_else(|| LiveError::Sound(format!("it recorded nothing: {:?}", self.process.said())))?;
        read_wav(&last)
    }
}

impl Kind {
    /// The command that ends the program.
    fn bye(&self) -> &'static str {
        match self {
            Self::Baresip => "/quit",
            Self::Linphone => "quit",
        }
    }

    /// Whether a file of this name holds what it heard.
    fn records_into(&self, name: &str) -> bool {
        match self {
            Self::Baresip => name.starts_with("dump-") && name.ends_with("-dec.wav"),
            Self::Linphone => name == "linphone-heard.wav",
        }
    }
}

/// Whether a program is installed.
pub fn is_installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

/// A UDP port that is free at this moment; these phones cannot let the system choose.
pub fn free_port() -> Result<u16, LiveError> {
    let io = |reason| LiveError::Io { what: "looking for a free port".into(), reason };
    let socket = UdpSocket::bind(("127.0.0.1", 0)).map_err(io)?;
    Ok(socket.local_addr().map_err(io)?.port())
}

fn write(file: &Path, text: &str) -> Result<(), LiveError> {
    fs::write(file, text).map_err(|reason| LiveError::Io { what: format!("writing {}", file.display()), reason })
}
