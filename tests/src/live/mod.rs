//! Real processes on loopback: a gateway and phones, driven as a person would, by lines on standard
//! input and JSON lines on standard output.

mod gateway;
mod island;
mod network_log;
mod peer;
mod phone;
mod process;
mod profile;
mod sound_rig;
mod speech;

pub use gateway::{DOMAIN, Gateway};
pub use island::Island;
pub use network_log::peers;
pub use peer::{Peer, Protection, free_port, is_installed};
pub use phone::{Phone, PhoneOptions};
pub use process::{LiveError, Process, binary};
pub use profile::{Profile, Said};
pub use sound_rig::{Player, Recorder, SoundRig};
pub use speech::{Speech, read_wav};
